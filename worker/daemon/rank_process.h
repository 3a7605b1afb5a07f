// One rank's process and its folder RANKS/UID.gGENERATION.rRANK, from the start or the adoption to
// the record of its end.
#ifndef IJEPA_WORKER_DAEMON_RANK_PROCESS_H_
#define IJEPA_WORKER_DAEMON_RANK_PROCESS_H_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/file.h"
#include "ijepa/v1/cluster.pb.h"
#include "ijepa/v1/rank_link.pb.h"
#include "worker/daemon/cgroup.h"
#include "worker/daemon/process.h"
#include "worker/daemon/rank_key.h"

namespace ijepa::worker {

// What it starts is in its control group where the worker has one, else in its process group.
//
// Life: running (the process lives) -> ended (only its group may still live) -> exited (all gone,
// the record is in exit.pb). Owned by the loop thread. Destroying it leaves the process alone.
class RankProcess {
 public:
  struct StartOptions {
    std::string ranks_folder;
    std::string rank_binary;
    // CUDA_VISIBLE_DEVICES; empty on nodes without GPUs, where the variable is left alone.
    std::string visible_device;
    // What NCCL is told of (network.h).
    v1::NodeNetwork network;
    // Folder for its control group (cgroup.h); empty: none.
    std::string cgroup_base;
    // The rank is killed when the thread that starts it ends.
    bool ends_with_worker = false;
  };

  // Makes the folder and starts the process. Where that fails, the rank has exited already, and its
  // record says why.
  static std::unique_ptr<RankProcess> Start(const StartOptions& options,
                                            const v1::RankLaunch& launch, absl::Time now);
  // Takes over the rank of a folder that an earlier worker left. NotFound if no process was ever
  // started from it, DataLoss if its files make no sense: the folder is of no use then.
  static absl::StatusOr<std::unique_ptr<RankProcess>> Adopt(const std::string& folder);
  // A rank that never had a process: its end is `exit`.
  static std::unique_ptr<RankProcess> Unstarted(const StartOptions& options,
                                                const v1::RankLaunch& launch,
                                                const v1::RankExit& exit);

  const RankKey& key() const { return key_; }
  const std::string& folder() const { return folder_; }
  int slot() const { return slot_; }
  // 0 when it never had a process.
  pid_t pid() const { return id_.pid; }
  // Readable at the end of the process; -1 afterwards.
  int pidfd() const { return pidfd_.get(); }
  // Path of its control group; empty where it has none.
  std::string cgroup() const { return group_ ? group_->path() : ""; }
  bool killed() const { return !kill_reason_.empty(); }

  // Looks whether it ended, and ends what it left in its group. Call when pidfd is readable, and
  // from time to time while the group dies. Never blocks.
  void Poll(absl::Time now);
  // How it ended; nothing while any process of it lives.
  const std::optional<v1::RankExit>& exit() const { return exit_; }

  // SIGTERM to the process: it saves at the next agreed step and stops.
  void Terminate();
  // SIGKILL to all of it. `reason` goes into the record.
  void Kill(const std::string& reason);

 private:
  RankProcess(std::string folder, const v1::RankLaunch& launch);

  // Makes the folder, starts the process and begins to watch it.
  absl::Status Begin(const StartOptions& options, const v1::RankLaunch& launch);
  // Without a group the rank runs all the same.
  void MakeGroup(const std::string& base);
  // Before the process begins: writes down which it is and puts it into its group.
  absl::Status Record(const ProcessId& id);
  void Reap();
  // Of its control group and its process group.
  bool AnythingLives() const;
  void KillAll();
  // False when the group that has the number of this rank's is of another boot or another process.
  bool GroupIsOurs() const;
  v1::RankExit MakeRecord(absl::Time now) const;

  const std::string folder_;
  const RankKey key_;
  const int slot_;
  ProcessId id_;
  UniqueFd pidfd_;
  std::optional<Cgroup> group_;
  bool ours_ = false;  // This worker is the parent and gets the wait status.
  std::optional<int> wait_status_;
  std::string kill_reason_;
  std::optional<v1::RankExit> exit_;
};

// Last lines of a log file, at most `max_lines` and 16 KiB.
std::vector<std::string> LogTailLines(const std::string& path, size_t max_lines);

}  // namespace ijepa::worker

#endif  // IJEPA_WORKER_DAEMON_RANK_PROCESS_H_
