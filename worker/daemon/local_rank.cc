#include "worker/daemon/local_rank.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/log.h"
#include "worker/daemon/stack_dump.h"
#include "worker/link/rank_folder.h"

namespace ijepa::worker {
namespace {

// From asking a rank's threads for their stacks until they have written them.
constexpr absl::Duration kStackTime = absl::Seconds(1);

}  // namespace

LocalRank::LocalRank(std::unique_ptr<RankProcess> process)
    : process_(std::move(process)),
      link_(process_->folder()),
      log_(absl::StrCat(process_->folder(), "/", link::kLogFile)) {}

std::vector<v1::FromRank> LocalRank::Service(absl::Duration now, absl::Time wall) {
  std::vector<v1::FromRank> messages;
  if (exited()) return messages;
  if (stacks_asked_ && now - *stacks_asked_ >= kStackTime) stacks_collected_ = true;
  // The link before the process: the last words of a rank that ended are in the socket.
  const bool ended = process_->pidfd() < 0 || HasEnded(process_->pidfd());
  if (!ended || link_.connected()) messages = link_.Service(now);
  if (drain_ && link_.connected() && drain_told_on_ != link_.connections()) {
    drain_told_on_ = link_.connections();
    v1::ToRank message;
    *message.mutable_drain() = *drain_;
    link_.Send(message);
  }
  for (const v1::FromRank& message : messages) {
    if (!message.has_step()) continue;
    step_ = message.step();
    step_taken_ = false;
  }
  std::erase_if(messages, [](const v1::FromRank& message) { return message.has_step(); });
  process_->Poll(wall);
  if (exited()) {
    const v1::RankExit& exit = *process_->exit();
    LogInfo("rank exited rank=", key().ToString(),
            " outcome=", v1::RankOutcome_Name(exit.outcome()), " code=", exit.exit_code(),
            " signal=", exit.signal(), " message=", exit.message());
  }
  return messages;
}

void LocalRank::Drain(const v1::Drain& drain) {
  if (drain_) return;
  LogInfo("draining rank=", key().ToString(), " reason=", drain.reason());
  drain_ = drain;
}

void LocalRank::CollectStacks(absl::Duration now) {
  if (stacks_asked_ || exited()) return;
  stacks_asked_ = now;
  LogWarning("asking for the stacks of rank=", key().ToString());
  const absl::Status asked =
      RequestStacks(process_->pid(), absl::StrCat(process_->folder(), "/", link::kLogFile));
  if (!asked.ok()) LogWarning("no stacks rank=", key().ToString(), " ", asked.message());
}

void LocalRank::AddXid(int xid) {
  LogWarning("the GPU of a rank reported an error rank=", key().ToString(), " xid=", xid);
  if (xids_.size() < kMaxXids) xids_.push_back(xid);
}

void LocalRank::Kill(const std::string& reason, bool superseded) {
  LogWarning("killing rank=", key().ToString(), " reason=", reason);
  if (superseded) {
    v1::ToRank message;
    message.mutable_superseded();
    link_.Send(message);
  }
  process_->Kill(reason);
}

std::optional<v1::StepReport> LocalRank::TakeStep() {
  if (step_taken_ || !step_) return std::nullopt;
  step_taken_ = true;
  return step_;
}

v1::RankPhase LocalRank::Phase() const {
  if (exited()) return v1::RANK_PHASE_EXITED;
  return step_ ? v1::RANK_PHASE_TRAINING : v1::RANK_PHASE_STARTING;
}

v1::RankStatus LocalRank::Status() const {
  v1::RankStatus status;
  status.set_job_uid(key().job_uid);
  status.set_generation(key().generation);
  status.set_rank(key().rank);
  status.set_phase(Phase());
  status.set_pid(process_->pid());
  if (step_) status.set_step(step_->step());
  status.set_stacks_collected(stacks_collected_);
  for (const int xid : xids_) status.add_xids(xid);
  if (exited()) {
    *status.mutable_exit() = *process_->exit();
    status.set_step(std::max(status.step(), process_->exit()->last_step()));
    if (status.exit().last_step() == 0) status.mutable_exit()->set_last_step(status.step());
  }
  return status;
}

absl::Time LocalRank::ExitTime() const {
  return absl::FromUnixSeconds(process_->exit()->time().seconds());
}

bool LocalRank::TakeChanged() {
  const v1::RankPhase phase = Phase();
  if (phase == reported_phase_ && stacks_collected_ == stacks_reported_ &&
      xids_.size() == xids_reported_) {
    return false;
  }
  reported_phase_ = phase;
  stacks_reported_ = stacks_collected_;
  xids_reported_ = xids_.size();
  return true;
}

ActualRank LocalRank::Actual() {
  ActualRank actual;
  actual.key = key();
  actual.slot = process_->slot();
  actual.running = !exited();
  actual.draining = drain_.has_value();
  actual.stacks_asked = stacks_asked_.has_value();
  actual.killed = process_->killed();
  actual.settled = exited() && exit_reported_ && log_.Complete();
  return actual;
}

}  // namespace ijepa::worker
