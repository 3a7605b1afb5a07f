// The worker's settings: flags over a YAML file over defaults.
#ifndef IJEPA_WORKER_DAEMON_SETTINGS_H_
#define IJEPA_WORKER_DAEMON_SETTINGS_H_

#include <cstdint>
#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace ijepa::worker {

struct Settings {
  // HOST:PORT of the coordinator's worker listener.
  std::string coordinator = "127.0.0.1:7441";
  // Stable and unique in the cluster. Default: the host name.
  std::string node;
  // Number of ranks at a time, or auto (inventory.h).
  std::string slots = "auto";
  // Required. On a local disk; survives the worker.
  std::string state_dir;
  // Default: ijepa-rank beside this program.
  std::string rank_binary;
  // HOST:PORT of /metrics; "none" serves none.
  std::string metrics_listen = "127.0.0.1:7443";
  // Address at which ranks of other nodes reach this node's; auto: the one that leads to the
  // coordinator.
  std::string host_address = "auto";
  // Where each rank gets a control group of its own: auto, none, or a folder of a cgroup2 mount.
  std::string cgroup = "auto";
  // From a request to drain until ranks that still save are killed: within (0, 1e6].
  std::string drain_seconds = "120";
  absl::Duration drain_time;  // The same, filled in by Resolve.
  // PEM files, all three or none: with them the coordinator is reached over TLS. The certificate's
  // common name is the node.
  std::string tls_certificate;
  std::string tls_key;
  std::string tls_authority;
  // "UID:GENERATION:HOST" of the attempt that a backend started the worker for; it runs nothing
  // else and ends with it. Its token is in the environment, kAllocationToken. Empty: none.
  std::string allocation;
  // yes: ranks outlive the worker and wait for the next one in its state_dir. no: they end with it.
  // With `allocation` always no.
  std::string leave_ranks = "yes";
  // Where the node is: "island=a, rack=r7, block=b1"; other keys are kept and shown.
  std::string labels;
  std::map<std::string, std::string> label_map;  // The same, filled in by Resolve.
};

inline constexpr char kAllocationToken[] = "IJEPA_ALLOCATION_TOKEN";

// The parts of Settings.allocation. InvalidArgument names the rule.
struct AllocationParts {
  std::string job_uid;
  int64_t generation = 0;
  std::string host;
};
absl::StatusOr<AllocationParts> ParseAllocation(const std::string& text);

// Keys of the file, which are the names of the flags with '_' for '-', to the fields of `settings`.
std::map<std::string, std::string*> SettingFields(Settings& settings);

// Fills in what depends on the machine, makes paths absolute and checks the rest. InvalidArgument
// names the setting, its value, the rule.
absl::StatusOr<Settings> Resolve(Settings settings);

}  // namespace ijepa::worker

#endif  // IJEPA_WORKER_DAEMON_SETTINGS_H_
