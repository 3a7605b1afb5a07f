// The tables of legal moves: what is in them, and what must not be.
#include "coordinator/core/lifecycle.h"

#include <gtest/gtest.h>

#include <set>

namespace ijepa::coordinator {
namespace {

// What moves lead to from `first`, by way of others.
template <typename Moves, typename S>
std::set<S> ReachedFrom(const Moves& moves, S first) {
  std::set<S> reached = {first};
  for (bool more = true; more;) {
    more = false;
    for (const auto& move : moves) {
      if (reached.count(move.from) > 0) more = reached.insert(move.to).second || more;
    }
  }
  return reached;
}

TEST(LifecycleTest, NoMoveLeavesWhatIsTerminal) {
  for (const JobMove& move : JobMoves()) {
    EXPECT_FALSE(IsTerminal(move.from)) << ShortName(move.from) << " " << ShortName(move.to);
  }
  for (const AttemptMove& move : AttemptMoves()) {
    EXPECT_TRUE(move.from.empty() || move.from == kAttemptRunning) << move.from;
  }
  for (const AllocationMove& move : AllocationMoves()) {
    EXPECT_NE(move.from, v1::ALLOCATION_PHASE_RELEASED) << v1::AllocationPhase_Name(move.to);
  }
}

TEST(LifecycleTest, EveryJobStateIsReachedAndLeadsToAnEnd) {
  const std::set<v1::JobState> reached = ReachedFrom(JobMoves(), v1::JOB_STATE_UNSPECIFIED);
  for (int s = 1; s < v1::JobState_ARRAYSIZE; ++s) {
    const auto state = static_cast<v1::JobState>(s);
    EXPECT_EQ(reached.count(state), 1) << ShortName(state);
    bool ends = false;
    for (const v1::JobState next : ReachedFrom(JobMoves(), state)) ends = ends || IsTerminal(next);
    EXPECT_TRUE(ends) << ShortName(state);
  }
}

TEST(LifecycleTest, EveryStateOfNodesAndAllocationsIsReached) {
  EXPECT_EQ(ReachedFrom(NodeMoves(), v1::NODE_STATE_UNSPECIFIED).size(), v1::NodeState_ARRAYSIZE);
  EXPECT_EQ(ReachedFrom(AllocationMoves(), v1::ALLOCATION_PHASE_UNSPECIFIED).size(),
            v1::AllocationPhase_ARRAYSIZE);
  EXPECT_EQ(ReachedFrom(AttemptMoves(), absl::string_view()).size(), 5);
}

TEST(LifecycleTest, WhatIsNotListedMayNotMove) {
  EXPECT_TRUE(MayMove(v1::JOB_STATE_QUEUED, v1::JOB_STATE_STARTING));
  EXPECT_FALSE(MayMove(v1::JOB_STATE_QUEUED, v1::JOB_STATE_RUNNING));
  EXPECT_FALSE(MayMove(v1::NODE_STATE_LOST, v1::NODE_STATE_UNREACHABLE));
  EXPECT_FALSE(MayMove(v1::ALLOCATION_PHASE_RELEASED, v1::ALLOCATION_PHASE_GRANTED));
  EXPECT_FALSE(MayMove(kAttemptFailed, kAttemptRunning));
}

TEST(LifecycleDeathTest, AnAttemptThatEndedIsNotWrittenAnew) {
  v1::Attempt attempt;
  SetOutcome(attempt, kAttemptRunning);
  SetOutcome(attempt, kAttemptFailed);
  EXPECT_DEATH(SetOutcome(attempt, kAttemptCompleted), "MayMove");
  v1::Allocation allocation;
  SetPhase(allocation, v1::ALLOCATION_PHASE_REQUESTED);
  SetPhase(allocation, v1::ALLOCATION_PHASE_RELEASED);
  EXPECT_DEATH(SetPhase(allocation, v1::ALLOCATION_PHASE_PENDING), "MayMove");
}

}  // namespace
}  // namespace ijepa::coordinator
