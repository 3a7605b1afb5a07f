// SLURM as a backend, through its programs (sbatch, squeue, scancel, sinfo) or through slurmrestd.
// One SLURM job per attempt, found again by its name; its script starts ijepa-worker once per node.
#ifndef IJEPA_COORDINATOR_BACKENDS_SLURM_BACKEND_H_
#define IJEPA_COORDINATOR_BACKENDS_SLURM_BACKEND_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "coordinator/backend_settings.h"
#include "coordinator/backends/backend.h"

namespace ijepa::coordinator {

inline constexpr char kSlurm[] = "slurm";

// Keys that only this backend has in the settings.
struct SlurmSettings {
  // Folder of sbatch and the others; with `rest`, of srun on the nodes. Empty: PATH.
  std::string bin;
  // SLURM_CONF for them; empty: theirs.
  std::string conf;
  // ijepa-worker, as the nodes see it. Default: beside this program.
  std::string worker;
  // Folder on the nodes in which each worker makes one of its own. Local.
  std::string state_dir = "/tmp";
  // Folder for what workers and scripts print, which nodes see. Default: that of the checkpoints.
  std::string log_dir;
  // Of jobs that do not say.
  std::string partition;
  std::string account;
  std::string qos;
  // Before SLURM's time limit ranks are told to save and stop, and have so long for it.
  absl::Duration warn = absl::Seconds(120);
  // Address of slurmrestd, without a slash at the end; empty: the programs are used. There is no
  // falling back from one to the other.
  std::string rest;
  // File with the token, read for every call.
  std::string rest_token_file;
  // That the token is for; empty: as the token says.
  std::string rest_user;
  // PEM file of the authorities for https; empty: the system's.
  std::string rest_authority;
};

absl::StatusOr<SlurmSettings> ReadSlurmSettings(const BackendSettings& settings);

// What sbatch is told for a request, without the program, and the script. Pure.
std::vector<std::string> SbatchArguments(const AllocationRequest& request,
                                         const SlurmSettings& settings, const std::string& prefix);
std::string SlurmScript(const AllocationRequest& request, const SlurmSettings& settings,
                        const BackendSettings& common);

absl::StatusOr<std::unique_ptr<Backend>> MakeSlurmBackend(const BackendSettings& settings,
                                                          const std::string& cluster);

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_BACKENDS_SLURM_BACKEND_H_
