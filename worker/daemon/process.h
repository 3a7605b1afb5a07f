// Processes that outlive the worker: start them, know them again after a restart, end them whole.
#ifndef IJEPA_WORKER_DAEMON_PROCESS_H_
#define IJEPA_WORKER_DAEMON_PROCESS_H_

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/file.h"

namespace ijepa::worker {

// Names one process over all time: pids are used again, and a boot starts both counts anew.
struct ProcessId {
  pid_t pid = 0;
  // Clock ticks after boot (field 22 of /proc/PID/stat).
  int64_t start_time = 0;
  std::string boot_id;

  bool operator==(const ProcessId&) const = default;
  // "PID START_TIME BOOT_ID"; and back. InvalidArgument if it is not of that form.
  std::string ToString() const;
  static absl::StatusOr<ProcessId> Parse(absl::string_view text);
  // The process that has `pid` now. NotFound if there is none.
  static absl::StatusOr<ProcessId> Of(pid_t pid);
};

struct Spawn {
  std::string program;
  std::vector<std::string> arguments;    // Without the program's name.
  std::vector<std::string> environment;  // NAME=VALUE, added to or replacing the worker's own.
  int output = -1;                       // Standard output and error; not owned.
  // It is killed when the thread that starts it ends, however that ends. What it starts is not.
  bool ends_with_parent = false;
};

// Starts a process in a session (and so a process group) of its own, with /dev/null as input, no
// other descriptors, default signals, and first in line for the kernel's out-of-memory killer.
// `record` is called with its identity before the program begins; if it fails, or this process dies
// meanwhile, the program never begins. Errors: those of `record`, and of the exec (NotFound, ...).
using RecordProcess = std::function<absl::Status(const ProcessId&)>;
absl::StatusOr<ProcessId> SpawnProcess(const Spawn& spawn, const RecordProcess& record);

// A descriptor that becomes readable when the process `id` ends. NotFound if it is gone already.
absl::StatusOr<UniqueFd> OpenPidfd(const ProcessId& id);

// True once the process of `pidfd` has ended. Never blocks.
bool HasEnded(int pidfd);

// Sends `signal` to every process of the group; fine if there is none.
void SignalGroup(pid_t group, int signal);

// True while a process of the group lives; a zombie does not. Reaps what is ours to reap.
bool GroupIsAlive(pid_t group);

// Reaps children that ended and are not in `keep`: as a subreaper this process gets what ranks
// leave behind in sessions of their own.
void ReapStrays(const std::set<pid_t>& keep);

// Memory and time of one process.
struct ProcessUsage {
  int64_t rss_bytes = 0;
  double cpu_seconds = 0;
};
// Zeros if the process is gone.
ProcessUsage UsageOf(pid_t pid);

// The kernel's id of this boot.
std::string BootId();

}  // namespace ijepa::worker

#endif  // IJEPA_WORKER_DAEMON_PROCESS_H_
