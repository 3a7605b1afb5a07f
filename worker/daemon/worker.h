// The worker daemon: one loop that keeps the ranks of this node as the coordinator wants them.
#ifndef IJEPA_WORKER_DAEMON_WORKER_H_
#define IJEPA_WORKER_DAEMON_WORKER_H_

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "common/file.h"
#include "ijepa/v1/worker.pb.h"
#include "worker/daemon/coordinator_link.h"
#include "worker/daemon/ended_ranks.h"
#include "worker/daemon/local_rank.h"
#include "worker/daemon/nvml.h"
#include "worker/daemon/rendezvous_cache.h"
#include "worker/daemon/worker_metrics.h"

struct pollfd;

namespace ijepa::worker {

// All state is of the thread that calls Run; other threads only write to an eventfd. Ranks outlive
// the worker, however it ends; the next one on the same state folder adopts them.
class Worker {
 public:
  struct Options {
    std::string state_dir;
    std::string rank_binary;
    std::string coordinator;  // HOST:PORT of its worker listener.
    LinkTls tls;
    std::string host_address;  // Where ranks of other nodes reach this node.
    v1::NodeInfo info;
    // Of info.allocation.
    std::string allocation_token;
    // CUDA_VISIBLE_DEVICES by slot; empty without GPUs.
    std::vector<std::string> devices;
    // Folder for the control groups of ranks (cgroup.h), of this worker alone; empty: none.
    std::string cgroup_base;
    // Ranks outlive the worker and wait for the next one. Else they are killed when the thread of
    // Run ends, however the worker does: nobody would find them.
    bool leave_ranks = true;
    // Readable when the worker shall end and leave its ranks to the next one; and when it shall
    // have them save and stop first, the second time at once (signalfds). Not owned.
    int stop_fd = -1;
    int drain_fd = -1;
    // From the request to drain until ranks that still save are killed.
    absl::Duration drain_time = absl::Minutes(2);
    // Exited ranks whose log the coordinator does not take are kept for this long.
    absl::Duration keep_exited = absl::Hours(24);
    // From SIGTERM to SIGKILL for ranks at the end of the reattach window.
    absl::Duration orphan_grace = absl::Minutes(2);
    // May be null.
    GpuErrors* gpu_errors = nullptr;
    WorkerMetrics* metrics = nullptr;
    Clock* clock = &Clock::Real();
  };

  // Adopts what an earlier worker left in the state folder, which the caller has locked.
  static absl::StatusOr<std::unique_ptr<Worker>> Create(Options options);
  ~Worker();

  // Works until stop_fd is readable, or drain_fd was and no rank is left that the coordinator has
  // not heard the end of. Ranks that live are left running. With info.allocation also until the
  // coordinator says that it is over and no rank is left, or none comes back within the reattach
  // window: what holds the allocation may end then. The exit code: 0, or what the coordinator says,
  // or 1 where none came back.
  int Run();

  // The attempt that this worker is for is over, and nothing of it is left here.
  bool AllocationOver() const;

 private:
  Worker(Options options, UniqueFd wake);

  void Adopt();
  // One round: wait, look, reconcile, tell.
  void Turn();
  void Wait();
  absl::Duration NextDeadline(absl::Duration now) const;

  void HandleCoordinator(absl::Duration now);
  void HandleMessage(const v1::CoordinatorMessage& message);
  void Welcomed(const v1::Welcome& welcome);
  // True if the coordinator should hear at once what became of them.
  bool ServiceRanks(absl::Duration now);
  void TakeGpuErrors(absl::Duration now);
  LocalRank* NewestOn(int slot);
  void HandleRank(LocalRank& rank, const v1::FromRank& message);
  void PassOn(const RankKey& key, const v1::FromRank& message);
  void ReplyLocally(const v1::RankReply& reply);

  void BeginDrain();
  // True when the drain is done, or cannot get further.
  bool Drained(absl::Duration now) const;
  void ReconcileRanks(absl::Duration now);
  v1::DesiredState Wanted() const;
  void StartOne(const StartRank& start);
  void AddUnstarted(const RankKey& key);
  void Forget(const RankKey& key, absl::Duration now);
  void EndOrphans(absl::Duration now);
  // It is for one attempt, whose coordinator did not come back in time, and nothing runs here.
  bool Abandoned() const;
  v1::RankLaunch LaunchOf(const RankKey& key, int slot) const;
  RankProcess::StartOptions StartOptionsOf(int slot) const;

  void SendSteps();
  void ShipLogs();
  void ReportIfDue(absl::Duration now);
  v1::NodeReport MakeReport() const;
  v1::WorkerMessage MakeHello() const;
  void UpdateMetrics();
  LocalRank* Find(const RankKey& key);

  const Options options_;
  const std::string ranks_folder_;
  const std::string incarnation_;
  const UniqueFd wake_;
  std::map<RankKey, std::unique_ptr<LocalRank>> ranks_;
  EndedRanks ended_;
  RendezvousCache rendezvous_;
  std::optional<v1::DesiredState> desired_;  // None until the coordinator has said it once.
  int64_t observed_revision_ = 0;
  absl::Duration heartbeat_interval_ = absl::Seconds(5);
  absl::Duration reattach_window_ = absl::Minutes(10);
  absl::Duration last_heard_;  // Of the coordinator; the start of this worker before that.
  std::optional<absl::Duration> orphans_told_;  // When ranks were told to stop for its absence.
  absl::Duration last_report_ = -absl::InfiniteDuration();
  bool report_needed_ = false;
  bool stop_ = false;
  int exit_code_ = 0;
  // Set while draining: when ranks that still save are killed, by the wall and monotonic.
  std::optional<absl::Time> drain_deadline_;
  absl::Duration drain_end_;
  std::unique_ptr<CoordinatorLink> coordinator_;  // Last: its threads write to wake_.
};

}  // namespace ijepa::worker

#endif  // IJEPA_WORKER_DAEMON_WORKER_H_
