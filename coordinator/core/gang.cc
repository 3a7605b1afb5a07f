// See gang.h.
#include "coordinator/core/gang.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/check.h"
#include "coordinator/core/allocations.h"
#include "coordinator/core/desired.h"
#include "coordinator/core/failure_policy.h"
#include "coordinator/core/keys.h"
#include "coordinator/core/lifecycle.h"
#include "coordinator/core/placing.h"
#include "coordinator/core/quarantine.h"

namespace ijepa::coordinator {
namespace {

// Of jobs stored before they had one of their own.
constexpr double kOldRestartDelaySeconds = 10;

bool AllRanks(const Gang& gang, bool (*test)(const RankState&)) {
  return std::all_of(gang.ranks.begin(), gang.ranks.end(), test);
}

bool IsGone(const RankState& rank) { return rank.gone; }
bool HasStepped(const RankState& rank) { return rank.stepped; }
bool HasCompleted(const RankState& rank) { return rank.outcome == v1::RANK_OUTCOME_COMPLETED; }
bool HasDrained(const RankState& rank) { return rank.outcome == v1::RANK_OUTCOME_DRAINED; }

// "node-a (ranks 0-1), node-b (rank 2)".
std::string DescribePlaces(const Gang& gang) {
  std::vector<std::string> parts;
  for (const std::string& node : NodesOf(gang)) {
    const std::vector<int> ranks = RanksOn(gang, node);
    parts.push_back(ranks.size() == 1
                        ? absl::StrCat(node, " (rank ", ranks[0], ")")
                        : absl::StrCat(node, " (ranks ", ranks.front(), "-", ranks.back(), ")"));
  }
  return absl::StrJoin(parts, ", ");
}

// Frees the slots and seals the attempt's record.
void ReleaseGang(Turn& turn, Job& job) {
  Gang& gang = *job.gang;
  v1::Attempt& attempt = *job.attempt();
  *attempt.mutable_end_time() = ToProto(turn.now.wall);
  for (const RankState& rank : gang.ranks) {
    attempt.set_last_step(std::max(attempt.last_step(), rank.step));
  }
  for (const std::string& name : NodesOf(gang)) {
    const auto found = turn.state.nodes.find(name);
    if (found != turn.state.nodes.end()) found->second.jobs.erase(job.id);
    turn.TouchNode(name);
  }
  for (const auto& [key, value] : gang.rendezvous) {
    turn.Delete(RendezvousKey(job.id, gang.generation, key));
  }
  turn.state.active.erase(job.id);
  turn.state.schedule_needed = true;
  job.gang.reset();
  job.proto.mutable_status()->clear_slow_ranks();
  ReleaseAllocation(turn, job);
  turn.TouchAttempt(job);
}

void Retry(Turn& turn, Job& job, const v1::Failure& failure) {
  const bool progressed = !job.checkpoints.empty() &&
                          job.checkpoints.back().generation() == job.attempt()->generation();
  const bool failed = job.attempt()->outcome() == kAttemptFailed;
  job.no_progress = progressed ? 0 : job.no_progress + (failed ? 1 : 0);
  if (failed) {
    ++job.spent_restarts;
    job.healing_commits = 0;
  }
  RetryHistory history;
  history.failed_attempts = job.spent_restarts;
  history.first_delay = absl::Seconds(job.proto.spec().has_restart_delay_seconds()
                                          ? job.proto.spec().restart_delay_seconds()
                                          : kOldRestartDelaySeconds);
  history.no_progress = job.no_progress;
  history.max_restarts = job.proto.spec().max_restarts();
  history.max_no_progress = std::max(1, job.proto.spec().max_no_progress());
  history.on_failure = job.proto.spec().on_failure();
  history.seed = JitterSeed(job.proto.uid(), job.attempt()->generation());
  RetryDecision decision = DecideRetry(failure, history);
  if (!decision.retry) {
    turn.AddEvent(job, EventCode::kFailed, decision.reason.message());
    turn.Move(job, v1::JOB_STATE_FAILED, std::move(decision.reason));
    return;
  }
  job.not_before = turn.now.monotonic + decision.delay;
  turn.AddEvent(job, EventCode::kRestarting,
                absl::StrCat(decision.reason.message(), "; from step ", CommittedStep(job)));
  turn.Move(job, v1::JOB_STATE_QUEUED, std::move(decision.reason));
}

const char* DescribeCause(StopCause cause) {
  switch (cause) {
    case StopCause::kNode:
      return "its ranks were asked to stop by their node";
    case StopCause::kGrow:
      return "its ranks stopped to go on as more";
    case StopCause::kPreempt:
      return "its slots were given to another job";
    case StopCause::kTimeLimit:
      return "it reached its time limit";
    case StopCause::kMaintenance:
      return "a node of it is maintained";
    case StopCause::kBackend:
      return "its backend took its slots back";
  }
  return "";
}

void EndByTimeLimit(Turn& turn, Job& job) {
  const std::string message = absl::StrCat(
      "it has held slots for ", absl::FormatDuration(absl::Trunc(TimeUsed(job), absl::Seconds(1))),
      ", time_limit is ", job.proto.spec().time_limit(), "; the newest checkpoint is of step ",
      CommittedStep(job));
  turn.AddEvent(job, EventCode::kFailed, message);
  turn.Move(job, v1::JOB_STATE_FAILED, MakeReason("TIMEOUT", message));
}

// A job whose attempt ended neither complete nor by a cancel.
void EndFailed(Turn& turn, Job& job, const std::optional<v1::Evidence>& evidence, StopCause cause) {
  v1::Failure failure;
  if (evidence.has_value()) {
    failure = Classify(*evidence);
    *job.attempt()->mutable_failure() = failure;
    CountNodeFault(turn, job, failure);
  } else {
    failure.set_failure_class(kPreempted);
    failure.set_rank(-1);
    failure.set_message(DescribeCause(cause));
  }
  if (job.state() != v1::JOB_STATE_RECOVERING) turn.Move(job, v1::JOB_STATE_RECOVERING);
  if (cause == StopCause::kTimeLimit || TimeUsed(job) >= TimeLimit(job)) {
    return EndByTimeLimit(turn, job);
  }
  Retry(turn, job, failure);
}

void EndGang(Turn& turn, Job& job) {
  const bool completed = AllRanks(*job.gang, HasCompleted);
  const StopCause cause = job.gang->cause;
  ReleaseGang(turn, job);
  const std::optional<v1::Evidence> evidence = std::exchange(job.evidence, std::nullopt);
  v1::Attempt& attempt = *job.attempt();
  SetOutcome(attempt, completed              ? kAttemptCompleted
                      : evidence.has_value() ? kAttemptFailed
                                             : kAttemptDrained);
  if (completed) {
    turn.AddEvent(job, EventCode::kSucceeded, absl::StrCat("finished step ", attempt.last_step()));
    turn.Move(job, v1::JOB_STATE_SUCCEEDED);
    return;
  }
  if (!IsStopping(job.state())) {
    EndFailed(turn, job, evidence, cause);
    return;
  }
  if (evidence.has_value()) *attempt.mutable_failure() = Classify(*evidence);
  if (job.state() == v1::JOB_STATE_PAUSING) {
    turn.AddEvent(job, EventCode::kPaused,
                  absl::StrCat("stopped; goes on from step ", CommittedStep(job)));
    v1::Reason why = job.proto.status().reason();
    if (why.code() != kCancelledOutside) why = MakeReason("PAUSED", "paused by request");
    turn.Move(job, v1::JOB_STATE_PAUSED, std::move(why));
    return;
  }
  turn.AddEvent(job, EventCode::kCancelled,
                absl::StrCat("stopped; the newest checkpoint is of step ", CommittedStep(job)));
  turn.Move(job, v1::JOB_STATE_CANCELLED, MakeReason("CANCELLED", "cancelled by request"));
}

EventCode StopEvent(StopCause cause) {
  switch (cause) {
    case StopCause::kGrow:
      return EventCode::kGrowing;
    case StopCause::kPreempt:
      return EventCode::kPreempted;
    case StopCause::kTimeLimit:
      return EventCode::kTimeLimit;
    case StopCause::kMaintenance:
      return EventCode::kMaintenance;
    case StopCause::kNode:
    case StopCause::kBackend:
      break;
  }
  return EventCode::kDraining;
}

bool StacksAreTaken(const RankState& rank) { return rank.gone || rank.stacks_collected; }

// A gang that hangs is asked for the stacks of its ranks before it is killed. True while that is
// awaited.
bool CollectStacks(Turn& turn, Job& job) {
  Gang& gang = *job.gang;
  if (job.evidence->kind() != v1::EVIDENCE_KIND_HANG) return false;
  if (!gang.collecting) {
    gang.collecting = true;
    gang.deadline = turn.now.monotonic + turn.options.stacks_deadline;
    for (const std::string& node : NodesOf(gang)) turn.TouchNode(node);
    turn.Touch(job);
    return true;
  }
  if (!AllRanks(gang, StacksAreTaken) && turn.now.monotonic < gang.deadline) return true;
  std::vector<std::string> ranks;
  for (size_t r = 0; r < gang.ranks.size(); ++r) {
    if (!gang.ranks[r].stacks_collected) continue;
    job.evidence->add_stack_ranks(static_cast<int>(r));
    ranks.push_back(absl::StrCat(r));
  }
  if (!ranks.empty()) {
    turn.AddEvent(job, EventCode::kStacksCollected,
                  absl::StrCat("stacks of ranks ", absl::StrJoin(ranks, ", "),
                               " are in their logs: ijepactl logs ", job.id, " --generation ",
                               gang.generation));
  }
  *job.attempt()->mutable_failure() = Classify(*job.evidence);
  turn.TouchAttempt(job);
  return false;
}

}  // namespace

void StartGang(Turn& turn, Job& job, const std::vector<std::string>& nodes) {
  v1::JobStatus& status = *job.proto.mutable_status();
  // An allocation was asked for under the attempt's generation.
  if (!status.has_allocation()) status.set_generation(status.generation() + 1);
  v1::Attempt& attempt = *status.add_attempts();
  attempt.set_generation(status.generation());
  *attempt.mutable_start_time() = ToProto(turn.now.wall);
  attempt.set_first_step(CommittedStep(job));
  SetOutcome(attempt, kAttemptRunning);
  status.set_restarts(status.attempts_size() - 1);
  if (status.has_allocation()) {
    attempt.set_allocation(
        absl::StrCat(status.allocation().backend(), " ", status.allocation().handle()));
  }
  if (!status.has_start_time()) *status.mutable_start_time() = ToProto(turn.now.wall);

  Gang gang;
  gang.generation = status.generation();
  gang.ranks.resize(nodes.size());
  for (size_t r = 0; r < nodes.size(); ++r) {
    gang.ranks[r].node = nodes[r];
    v1::RankPlacement& placement = *attempt.add_placements();
    placement.set_rank(static_cast<int>(r));
    placement.set_node(nodes[r]);
    turn.state.nodes.at(nodes[r]).jobs.insert(job.id);
    turn.TouchNode(nodes[r]);
  }
  gang.launch = LaunchFor(job, static_cast<int>(nodes.size()), turn.options);
  gang.start = gang.safe = turn.now.monotonic;
  gang.deadline = turn.now.monotonic + turn.options.start_deadline;
  ForgiveRanks(gang, turn.now.monotonic);
  job.gang = std::move(gang);
  job.bypassed = 0;
  turn.state.active.insert(job.id);
  turn.TouchAttempt(job);
  turn.AddEvent(job, EventCode::kStarted,
                absl::StrCat("attempt ", status.generation(), " on ", DescribePlaces(*job.gang),
                             " from step ", attempt.first_step()));
  turn.Move(job, v1::JOB_STATE_STARTING, MakeReason("STARTING", "ranks are being started"));
}

void AddEvidence(Turn& turn, Job& job, v1::Evidence evidence) {
  *evidence.mutable_detected_time() = ToProto(turn.now.wall);
  if (!evidence.has_time()) *evidence.mutable_time() = evidence.detected_time();
  if (job.evidence.has_value() && !Precedes(evidence, *job.evidence)) return;
  job.evidence = std::move(evidence);
  turn.Touch(job);
}

bool SignsCount(const Job& job) {
  const Gang& gang = *job.gang;
  if (!gang.clearing) return true;
  const bool by_earlier = gang.clearing_since == absl::InfinitePast();
  return job.evidence.has_value() && !by_earlier;
}

void ClearGang(Turn& turn, Job& job) {
  Gang& gang = *job.gang;
  if (gang.clearing) return;
  gang.clearing = true;
  gang.clearing_since = turn.now.wall;
  gang.deadline = turn.now.monotonic + turn.options.clear_deadline;
  gang.revisions.clear();
  for (const std::string& node : NodesOf(gang)) turn.TouchNode(node);
  turn.Touch(job);
}

void StopGang(Turn& turn, Job& job, StopCause cause, std::string message) {
  Gang& gang = *job.gang;
  gang.draining = true;
  gang.cause = cause;
  gang.deadline = turn.now.monotonic + turn.options.drain_deadline;
  job.drain_deadline = turn.now.wall + turn.options.drain_deadline;
  for (const std::string& node : NodesOf(gang)) turn.TouchNode(node);
  turn.AddEvent(job, StopEvent(cause), std::move(message));
}

void JudgeGang(Turn& turn, Job& job) {
  IJEPA_CHECK(job.gang.has_value());
  Gang& gang = *job.gang;
  const bool up = job.state() == v1::JOB_STATE_STARTING || job.state() == v1::JOB_STATE_RUNNING;
  if (job.evidence.has_value() && !gang.clearing && !AllRanks(gang, HasCompleted)) {
    if (up) {
      const v1::Failure failure = Classify(*job.evidence);
      *job.attempt()->mutable_failure() = failure;
      turn.TouchAttempt(job);
      turn.Move(job, v1::JOB_STATE_RECOVERING,
                MakeReason(failure.failure_class(), DescribeFailure(failure)));
    }
    if (!CollectStacks(turn, job)) ClearGang(turn, job);
  }
  if (AllRanks(gang, IsGone)) {
    EndGang(turn, job);
    return;
  }
  if (job.state() == v1::JOB_STATE_STARTING && AllRanks(gang, HasStepped)) {
    turn.AddEvent(job, EventCode::kRunning, "every rank has finished a step");
    *job.attempt()->mutable_running_time() = ToProto(turn.now.wall);
    turn.TouchAttempt(job);
    turn.Move(job, v1::JOB_STATE_RUNNING);
  }
  const auto drained = std::find_if(gang.ranks.begin(), gang.ranks.end(), HasDrained);
  if (up && drained != gang.ranks.end() && !gang.clearing && !gang.draining) {
    gang.draining = true;
    gang.deadline = turn.now.monotonic + turn.options.drain_deadline;
    turn.AddEvent(job, EventCode::kDraining,
                  absl::StrCat("node ", drained->node, " asked its ranks to save and stop"));
  }
}

void GiveUpRanks(Turn& turn, Job& job) {
  for (size_t r = 0; r < job.gang->ranks.size(); ++r) {
    RankState& rank = job.gang->ranks[r];
    if (rank.gone) continue;
    rank.gone = true;
    const auto node = turn.state.nodes.find(rank.node);
    if (node != turn.state.nodes.end()) ++node->second.foreign_ranks;
    turn.ReviewNode(rank.node);
    turn.AddEvent(job, EventCode::kRankGivenUp,
                  absl::StrCat("rank ", r, " on ", rank.node,
                               " was not reported gone in time; its slot stays taken"));
  }
}

}  // namespace ijepa::coordinator
