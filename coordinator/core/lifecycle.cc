// See lifecycle.h.
#include "coordinator/core/lifecycle.h"

#include <algorithm>

#include "absl/strings/strip.h"
#include "common/check.h"

namespace ijepa::coordinator {
namespace {

template <typename Moves, typename S>
bool Listed(const Moves& moves, S from, S to) {
  return std::any_of(moves.begin(), moves.end(),
                     [&](const auto& move) { return move.from == from && move.to == to; });
}

}  // namespace

const std::vector<JobMove>& JobMoves() {
  static const std::vector<JobMove>* const moves = new std::vector<JobMove>{
      {v1::JOB_STATE_UNSPECIFIED, v1::JOB_STATE_QUEUED, "submit"},
      {v1::JOB_STATE_UNSPECIFIED, v1::JOB_STATE_HELD, "submit on hold"},
      {v1::JOB_STATE_UNSPECIFIED, v1::JOB_STATE_BLOCKED, "submit with depends_on"},
      {v1::JOB_STATE_BLOCKED, v1::JOB_STATE_QUEUED, "the jobs it waits for have ended"},
      {v1::JOB_STATE_BLOCKED, v1::JOB_STATE_HELD, "hold"},
      {v1::JOB_STATE_BLOCKED, v1::JOB_STATE_CANCELLED, "cancel, or a job it waits for failed"},
      {v1::JOB_STATE_HELD, v1::JOB_STATE_QUEUED, "release"},
      {v1::JOB_STATE_HELD, v1::JOB_STATE_BLOCKED, "release before depends_on is met"},
      {v1::JOB_STATE_HELD, v1::JOB_STATE_CANCELLED, "cancel, or a job it waits for failed"},
      {v1::JOB_STATE_QUEUED, v1::JOB_STATE_STARTING, "slots for the whole gang"},
      {v1::JOB_STATE_QUEUED, v1::JOB_STATE_HELD, "hold"},
      {v1::JOB_STATE_QUEUED, v1::JOB_STATE_PAUSED, "pause"},
      {v1::JOB_STATE_QUEUED, v1::JOB_STATE_CANCELLED, "cancel"},
      {v1::JOB_STATE_STARTING, v1::JOB_STATE_RUNNING, "every rank finished a step"},
      {v1::JOB_STATE_STARTING, v1::JOB_STATE_RECOVERING, "a rank failed, or the start deadline"},
      {v1::JOB_STATE_STARTING, v1::JOB_STATE_CANCELLING, "cancel"},
      {v1::JOB_STATE_STARTING, v1::JOB_STATE_PAUSING, "pause"},
      {v1::JOB_STATE_STARTING, v1::JOB_STATE_SUCCEEDED, "all ranks completed, nothing was left"},
      {v1::JOB_STATE_RUNNING, v1::JOB_STATE_RECOVERING, "a rank failed, hung or was drained"},
      {v1::JOB_STATE_RUNNING, v1::JOB_STATE_CANCELLING, "cancel"},
      {v1::JOB_STATE_RUNNING, v1::JOB_STATE_PAUSING, "pause"},
      {v1::JOB_STATE_RUNNING, v1::JOB_STATE_SUCCEEDED, "all ranks completed"},
      {v1::JOB_STATE_RECOVERING, v1::JOB_STATE_QUEUED, "ranks gone, budget left"},
      {v1::JOB_STATE_RECOVERING, v1::JOB_STATE_FAILED, "ranks gone, not to be retried"},
      {v1::JOB_STATE_RECOVERING, v1::JOB_STATE_CANCELLING, "cancel"},
      {v1::JOB_STATE_RECOVERING, v1::JOB_STATE_PAUSING, "pause"},
      {v1::JOB_STATE_PAUSING, v1::JOB_STATE_PAUSED, "ranks gone"},
      {v1::JOB_STATE_PAUSING, v1::JOB_STATE_CANCELLING, "cancel"},
      {v1::JOB_STATE_PAUSING, v1::JOB_STATE_SUCCEEDED, "all ranks completed before the pause"},
      {v1::JOB_STATE_PAUSED, v1::JOB_STATE_QUEUED, "resume"},
      {v1::JOB_STATE_PAUSED, v1::JOB_STATE_CANCELLED, "cancel"},
      {v1::JOB_STATE_CANCELLING, v1::JOB_STATE_CANCELLED, "ranks gone"},
      {v1::JOB_STATE_CANCELLING, v1::JOB_STATE_SUCCEEDED, "all ranks completed before the cancel"},
  };
  return *moves;
}

const std::vector<NodeMove>& NodeMoves() {
  static const std::vector<NodeMove>* const moves = new std::vector<NodeMove>{
      {v1::NODE_STATE_UNSPECIFIED, v1::NODE_STATE_READY, "hello"},
      {v1::NODE_STATE_READY, v1::NODE_STATE_UNREACHABLE, "silent for unreachable_after"},
      {v1::NODE_STATE_UNREACHABLE, v1::NODE_STATE_READY, "heard again"},
      {v1::NODE_STATE_UNREACHABLE, v1::NODE_STATE_LOST, "silent for lost_after"},
      {v1::NODE_STATE_LOST, v1::NODE_STATE_READY, "hello"},
  };
  return *moves;
}

const std::vector<AttemptMove>& AttemptMoves() {
  static const std::vector<AttemptMove>* const moves = new std::vector<AttemptMove>{
      {"", kAttemptRunning, "its gang has its slots"},
      {kAttemptRunning, kAttemptCompleted, "all ranks completed"},
      {kAttemptRunning, kAttemptFailed, "ranks gone, and a sign that one failed"},
      {kAttemptRunning, kAttemptDrained, "ranks gone, which were asked to stop"},
  };
  return *moves;
}

const std::vector<AllocationMove>& AllocationMoves() {
  static const std::vector<AllocationMove>* const moves = new std::vector<AllocationMove>{
      {v1::ALLOCATION_PHASE_UNSPECIFIED, v1::ALLOCATION_PHASE_REQUESTED, "its job is next"},
      {v1::ALLOCATION_PHASE_REQUESTED, v1::ALLOCATION_PHASE_PENDING, "the backend has it"},
      {v1::ALLOCATION_PHASE_REQUESTED, v1::ALLOCATION_PHASE_GRANTED, "its workers are here"},
      {v1::ALLOCATION_PHASE_REQUESTED, v1::ALLOCATION_PHASE_RELEASED, "not needed any more"},
      {v1::ALLOCATION_PHASE_PENDING, v1::ALLOCATION_PHASE_GRANTED, "the backend starts workers"},
      {v1::ALLOCATION_PHASE_PENDING, v1::ALLOCATION_PHASE_RELEASED, "not needed any more"},
      {v1::ALLOCATION_PHASE_GRANTED, v1::ALLOCATION_PHASE_PENDING, "the backend put it back"},
      {v1::ALLOCATION_PHASE_GRANTED, v1::ALLOCATION_PHASE_RELEASED, "its attempt is over"},
  };
  return *moves;
}

bool MayMove(v1::JobState from, v1::JobState to) { return Listed(JobMoves(), from, to); }
bool MayMove(v1::NodeState from, v1::NodeState to) { return Listed(NodeMoves(), from, to); }
bool MayMove(absl::string_view from, absl::string_view to) {
  return Listed(AttemptMoves(), from, to);
}
bool MayMove(v1::AllocationPhase from, v1::AllocationPhase to) {
  return Listed(AllocationMoves(), from, to);
}

void SetOutcome(v1::Attempt& attempt, absl::string_view to) {
  IJEPA_CHECK(attempt.outcome() == to || MayMove(attempt.outcome(), to));
  attempt.set_outcome(std::string(to));
}

void SetPhase(v1::Allocation& allocation, v1::AllocationPhase to) {
  IJEPA_CHECK(allocation.phase() == to || MayMove(allocation.phase(), to));
  allocation.set_phase(to);
}

bool IsTerminal(v1::JobState state) {
  return state == v1::JOB_STATE_SUCCEEDED || state == v1::JOB_STATE_FAILED ||
         state == v1::JOB_STATE_CANCELLED;
}

bool IsStopping(v1::JobState state) {
  return state == v1::JOB_STATE_CANCELLING || state == v1::JOB_STATE_PAUSING;
}

std::string ShortName(v1::JobState state) {
  const std::string name = v1::JobState_Name(state);
  return std::string(absl::StripPrefix(name, "JOB_STATE_"));
}

std::string ShortName(v1::NodeState state) {
  const std::string name = v1::NodeState_Name(state);
  return std::string(absl::StripPrefix(name, "NODE_STATE_"));
}

}  // namespace ijepa::coordinator
