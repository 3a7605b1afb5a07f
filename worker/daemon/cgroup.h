// Control groups (cgroup v2) that hold what a rank starts, in whatever session: the kernel counts
// it and kills it as one. Where a worker can make none, ranks are process groups alone, which a
// child leaves by setsid.
#ifndef IJEPA_WORKER_DAEMON_CGROUP_H_
#define IJEPA_WORKER_DAEMON_CGROUP_H_

#include <sys/types.h>

#include <set>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace ijepa::worker {

// Where to look; elsewhere in tests.
struct CgroupSources {
  std::string mountinfo = "/proc/self/mountinfo";
  std::string own_cgroup = "/proc/self/cgroup";
};

// Makes the folder in which this worker makes one group per rank, and returns it. `setting`: "auto"
// takes the group that the worker is in, of the cgroup2 mount; "none" takes none; else a folder of
// a cgroup2 mount. The folder is named after `state_dir` (device and inode), so that the next
// worker on it finds the same. Empty for "none", and for "auto" where it cannot be made, `why` says
// why then; FailedPrecondition if a folder that was named cannot be used.
absl::StatusOr<std::string> MakeCgroupBase(const std::string& setting, const std::string& state_dir,
                                           const CgroupSources& sources, std::string& why);

// One group. Thread-compatible; owns nothing: the group stays until Remove.
class Cgroup {
 public:
  // Makes an empty group; fine if it exists.
  static absl::StatusOr<Cgroup> Make(const std::string& path);
  // NotFound if there is no such group.
  static absl::StatusOr<Cgroup> Open(const std::string& path);

  const std::string& path() const { return path_; }
  // Moves a process into it. What it starts from then on is in it too.
  absl::Status Add(pid_t pid) const;
  // True while a process in it or below it lives; a zombie does not.
  bool IsPopulated() const;
  // SIGKILL to all in it and below it, and to what they start meanwhile. Never blocks.
  absl::Status Kill() const;
  // Waits until nothing in it lives. False at the end of `timeout`.
  bool AwaitEmpty(absl::Duration timeout) const;
  // Removes it and the groups below it; fine if it is gone. FailedPrecondition while populated.
  absl::Status Remove() const;

 private:
  explicit Cgroup(std::string path) : path_(std::move(path)) {}

  std::string path_;
};

// Kills and removes the groups of `base` that are not in `keep` (paths): a worker that was killed
// left them. Waits up to `timeout` for each. Returns how many there were.
int ClearCgroups(const std::string& base, const std::set<std::string>& keep,
                 absl::Duration timeout);

}  // namespace ijepa::worker

#endif  // IJEPA_WORKER_DAEMON_CGROUP_H_
