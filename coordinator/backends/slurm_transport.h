// The ways to speak to SLURM: its programs, or slurmrestd. One is configured; neither stands in for
// the other.
#ifndef IJEPA_COORDINATOR_BACKENDS_SLURM_TRANSPORT_H_
#define IJEPA_COORDINATOR_BACKENDS_SLURM_TRANSPORT_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "coordinator/backends/backend.h"
#include "coordinator/backends/slurm_backend.h"

namespace ijepa::coordinator {

// Threads, times and errors as of Backend.
class SlurmTransport {
 public:
  virtual ~SlurmTransport() = default;

  // Submits a script; gives the number of its SLURM job. `options`: as of SbatchArguments.
  virtual absl::StatusOr<std::string> Submit(const std::vector<std::string>& options,
                                             const std::string& script, absl::Duration within) = 0;
  // OK if there is no such SLURM job.
  virtual absl::Status Cancel(const std::string& number, absl::Duration within) = 0;
  // Of our user, whose names begin with `prefix`, which is taken off.
  virtual absl::StatusOr<std::vector<ObservedAllocation>> List(const std::string& prefix,
                                                               absl::Duration within) = 0;
  virtual absl::StatusOr<std::vector<BackendNode>> Nodes(absl::Duration within) = 0;
  // From any thread: what is under way, and all after it, ends with Cancelled.
  virtual void Interrupt() = 0;
};

// sbatch, squeue, scancel and sinfo.
absl::StatusOr<std::unique_ptr<SlurmTransport>> MakeSlurmPrograms(const SlurmSettings& settings);

// slurmrestd at `settings.rest`.
std::unique_ptr<SlurmTransport> MakeSlurmRest(const SlurmSettings& settings);

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_BACKENDS_SLURM_TRANSPORT_H_
