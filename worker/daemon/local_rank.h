// Everything the worker holds of one rank: process, link, log, and what is known of its progress.
#ifndef IJEPA_WORKER_DAEMON_LOCAL_RANK_H_
#define IJEPA_WORKER_DAEMON_LOCAL_RANK_H_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "ijepa/v1/rank_link.pb.h"
#include "ijepa/v1/worker.pb.h"
#include "worker/daemon/log_shipper.h"
#include "worker/daemon/rank_key.h"
#include "worker/daemon/rank_link.h"
#include "worker/daemon/rank_process.h"
#include "worker/daemon/reconcile.h"

namespace ijepa::worker {

// Errors of a GPU that are kept, as worker.proto says; more say nothing new.
inline constexpr int kMaxXids = 16;

// Owned by the loop thread. Destroying it leaves the process alone.
class LocalRank {
 public:
  explicit LocalRank(std::unique_ptr<RankProcess> process);

  const RankKey& key() const { return process_->key(); }
  RankProcess& process() { return *process_; }
  LogShipper& log() { return log_; }
  bool exited() const { return process_->exit().has_value(); }

  // Looks at process and link. `wall` stamps the record of an end. Returns messages to pass on;
  // step reports are not among them, the newest is kept for TakeStep.
  std::vector<v1::FromRank> Service(absl::Duration now, absl::Time wall);
  // Passes a reply on; lost if the rank is not attached: the rank asks again.
  void Send(const v1::ToRank& message) { link_.Send(message); }
  // Tells the rank to save and stop, now and on every later connection.
  void Drain(const v1::Drain& drain);
  // Asks its threads for their stacks, once; Status says when they are in the log.
  void CollectStacks(absl::Duration now);
  // An error of its GPU that the driver reported.
  void AddXid(int xid);
  // Kills its processes; with `superseded` it is told first, for its log.
  void Kill(const std::string& reason, bool superseded);

  // The newest step report, if it was not taken since the last call of ResendStep.
  std::optional<v1::StepReport> TakeStep();
  void ResendStep() { step_taken_ = false; }

  // Phase, pid, step and end, as reported to the coordinator.
  v1::RankStatus Status() const;
  // True once after each change that the coordinator should hear of at once.
  bool TakeChanged();
  // `settled` is set for an exited rank whose exit was reported and whose log is stored.
  ActualRank Actual();
  void SetExitReported() { exit_reported_ = exited(); }
  bool exit_reported() const { return exit_reported_; }
  // Of an exited rank.
  absl::Time ExitTime() const;

  // Descriptors and times that the loop must wait for.
  int pidfd() const { return process_->pidfd(); }
  const RankLink& link() const { return link_; }

 private:
  v1::RankPhase Phase() const;

  const std::unique_ptr<RankProcess> process_;
  RankLink link_;
  LogShipper log_;
  std::optional<v1::StepReport> step_;
  bool step_taken_ = false;
  std::optional<v1::Drain> drain_;
  int drain_told_on_ = 0;  // Connection of the link on which the drain was sent.
  v1::RankPhase reported_phase_ = v1::RANK_PHASE_UNSPECIFIED;
  bool exit_reported_ = false;
  std::optional<absl::Duration> stacks_asked_;
  bool stacks_collected_ = false;
  bool stacks_reported_ = false;
  std::vector<int> xids_;
  size_t xids_reported_ = 0;
};

}  // namespace ijepa::worker

#endif  // IJEPA_WORKER_DAEMON_LOCAL_RANK_H_
