// What the core asks backends for, when a gang starts on what they gave, and what follows from each
// end of an allocation.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "absl/strings/str_cat.h"
#include "core_harness.h"

namespace ijepa::coordinator {
namespace {

using ::testing::HasSubstr;

// A queue of the backend slurm, and a job of two ranks in it, for which slots were asked.
class AllocationsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    QueueRules& queue = core.options().scheduling.queues["cluster"];
    queue.backend = "slurm";
    queue.limit = 4;
    core.Restart();
    Submit(id, 2);
  }

  void Submit(const std::string& name, int ranks) {
    CreateJob command;
    command.spec = SpecFor(name, ranks);
    command.spec.set_queue("cluster");
    command.id = name;
    command.uid = "uid-" + name;
    ASSERT_TRUE(core.Create(std::move(command)).ok());
  }

  const v1::JobStatus& status(const std::string& name) { return core.job(name).proto.status(); }
  const v1::JobStatus& status() { return status(id); }
  v1::AllocationPhase phase() { return status().allocation().phase(); }
  const v1::Reason& reason() { return status().reason(); }

  void Waits(const std::string& why, const std::string& advice = "") {
    core.Do(AllocationWaits{"uid-job", status().generation(), "17", "PENDING", why, advice});
  }
  void Grant() { core.Do(AllocationGranted{"uid-job", status().generation(), "17", "RUNNING"}); }
  void End(AllocationEnd end, const std::string& message = "its words") {
    core.Do(AllocationEnded{"uid-job", status().generation(), "17", end, message, "", "vn0"});
  }

  static std::string NodeOn(const std::string& host, int64_t generation) {
    return absl::StrCat(host, ".job-g", generation);
  }

  // A worker of the present allocation says hello.
  std::string Arrive(const std::string& host, int slots = 1) {
    const std::string node = NodeOn(host, status().generation());
    core.Bind(node, id, status().generation(), host);
    core.Connect(node, slots);
    return node;
  }

  // To step 10, with a checkpoint of it.
  void RunToTen() {
    Arrive("vn0");
    Arrive("vn1");
    core.RunTo(id, 10);
    ASSERT_EQ(core.state_of(id), v1::JOB_STATE_RUNNING);
    ASSERT_TRUE(core.Commit(id, 10, "/c/10").committed());
  }

  // The workers do what they are told until nothing is left of the attempt.
  void ObeyAll(int64_t generation) {
    core.Obey(NodeOn("vn0", generation));
    core.Obey(NodeOn("vn1", generation));
  }

  CoreHarness core;
  const std::string id = "job";
};

TEST_F(AllocationsTest, AJobOfABackendsQueueIsAskedForAndNotPlacedOnOwnWorkers) {
  core.Connect("node-a", 8);
  EXPECT_EQ(core.state_of(id), v1::JOB_STATE_QUEUED);
  EXPECT_EQ(phase(), v1::ALLOCATION_PHASE_REQUESTED);
  EXPECT_EQ(status().generation(), 1);
  EXPECT_EQ(status().allocation().ranks(), 2);
  EXPECT_EQ(core.desired("node-a").gangs_size(), 0);
}

TEST_F(AllocationsTest, TheBackendsWordsAndOurAdviceAreTheReasonToWait) {
  Waits("Resources");
  EXPECT_EQ(reason().code(), "WAITING_FOR_BACKEND");
  EXPECT_EQ(reason().message(), "slurm 17 has not started: PENDING, Resources");
  Waits("PartitionTimeLimit", "lower slurm.time_limit");
  EXPECT_THAT(reason().message(), HasSubstr("PartitionTimeLimit; lower slurm.time_limit"));
}

TEST_F(AllocationsTest, TheGangStartsWhenTheWorkersHaveSlotsForAllRanks) {
  Arrive("vn0");
  EXPECT_EQ(core.state_of(id), v1::JOB_STATE_QUEUED) << "half of it";
  Arrive("vn1");
  EXPECT_EQ(core.state_of(id), v1::JOB_STATE_STARTING);
  ASSERT_EQ(status().attempts_size(), 1);
  EXPECT_EQ(status().attempts(0).generation(), 1);
  EXPECT_EQ(status().attempts(0).placements(1).node(), "vn1.job-g1");
}

TEST_F(AllocationsTest, AWorkerThatClaimsAnyNumberOfSlotsIsGivenTheRanksThereAre) {
  Arrive("vn0", std::numeric_limits<int32_t>::max());
  EXPECT_EQ(core.state_of(id), v1::JOB_STATE_STARTING);
  EXPECT_EQ(status().attempts(0).placements_size(), 2);
}

TEST_F(AllocationsTest, WorkersOfAnAllocationAreGivenNothingElse) {
  Arrive("vn0", 8);
  core.Submit("other", 1);
  EXPECT_EQ(core.state_of("other"), v1::JOB_STATE_QUEUED);
  EXPECT_EQ(core.desired("vn0.job-g1").gangs_size(), 1);
}

TEST_F(AllocationsTest, AWorkerThatMisnamesItselfIsSentAway) {
  core.Bind("node-a", id, 1, "vn0");
  core.Connect("node-a", 2);
  EXPECT_EQ(core.state().nodes.count("node-a"), 0);
  EXPECT_EQ(core.state_of(id), v1::JOB_STATE_QUEUED);
}

TEST_F(AllocationsTest, TheLimitOfAQueueCountsWhatIsAskedFor) {
  Submit("second", 2);
  Submit("third", 2);
  EXPECT_TRUE(status("second").has_allocation());
  EXPECT_FALSE(status("third").has_allocation());
  EXPECT_EQ(status("third").reason().code(), "QUOTA_EXCEEDED");
  ASSERT_TRUE(core.Cancel("second").ok());
  EXPECT_TRUE(status("third").has_allocation());
}

TEST_F(AllocationsTest, WhatIsRefusedIsAskedForAgainLaterAndSaysWhy) {
  End(AllocationEnd::kRefused, "sbatch: invalid partition specified: nope");
  EXPECT_EQ(core.state_of(id), v1::JOB_STATE_QUEUED);
  EXPECT_FALSE(status().has_allocation());
  EXPECT_EQ(reason().code(), "BACKEND_REFUSED");
  EXPECT_THAT(reason().message(), HasSubstr("invalid partition specified: nope"));
  core.Advance(absl::Seconds(9));
  EXPECT_FALSE(status().has_allocation());
  core.Advance(absl::Seconds(2));
  EXPECT_EQ(status().allocation().generation(), 2) << "a name is used once";
  End(AllocationEnd::kRefused);
  core.Advance(absl::Seconds(15));
  EXPECT_FALSE(status().has_allocation()) << "twice as long";
}

TEST_F(AllocationsTest, ACompletedJobReleasesItsSlotsAndItsWorkersEnd) {
  RunToTen();
  core.Complete(NodeOn("vn0", 1), id);
  core.Complete(NodeOn("vn1", 1), id);
  EXPECT_EQ(core.state_of(id), v1::JOB_STATE_SUCCEEDED);
  EXPECT_FALSE(status().has_allocation());
  EXPECT_TRUE(core.desired(NodeOn("vn0", 1)).allocation_over());
  EXPECT_EQ(core.desired(NodeOn("vn0", 1)).exit_code(), 0);
  core.Disconnect(NodeOn("vn0", 1));
  core.Advance(absl::Seconds(1));
  EXPECT_EQ(core.state().nodes.count(NodeOn("vn0", 1)), 0) << "it never comes back";
}

TEST_F(AllocationsTest, AFailedRankIsTriedAgainInAnAllocationOfItsOwn) {
  RunToTen();
  core.Exit(NodeOn("vn0", 1), id, 0, KilledBy(9, core.now().wall));
  core.Report(NodeOn("vn0", 1));
  ObeyAll(1);
  EXPECT_EQ(core.state_of(id), v1::JOB_STATE_QUEUED);
  EXPECT_EQ(phase(), v1::ALLOCATION_PHASE_RELEASED);
  EXPECT_EQ(core.desired(NodeOn("vn1", 1)).exit_code(), 1);
  End(AllocationEnd::kFailed);
  EXPECT_EQ(phase(), v1::ALLOCATION_PHASE_REQUESTED);
  EXPECT_EQ(status().generation(), 2);
  EXPECT_EQ(core.job(id).spent_restarts, 1);
}

TEST_F(AllocationsTest, ANodeFailureClearsTheRestAndCountsAsOne) {
  RunToTen();
  End(AllocationEnd::kNodeFailed, "NODE_FAIL");
  EXPECT_EQ(core.state_of(id), v1::JOB_STATE_RECOVERING);
  ObeyAll(1);
  EXPECT_EQ(core.state_of(id), v1::JOB_STATE_QUEUED);
  EXPECT_EQ(status().attempts(0).failure().failure_class(), "NODE_LOST");
  EXPECT_EQ(phase(), v1::ALLOCATION_PHASE_REQUESTED);
}

TEST_F(AllocationsTest, TheEndOfTheAllocationIsTheCauseOfALostPeer) {
  RunToTen();
  core.Exit(NodeOn("vn1", 1), id, 1, FailedWith("ABORTED", "peer 0 is gone", core.now().wall));
  core.Report(NodeOn("vn1", 1));
  core.Disconnect(NodeOn("vn0", 1));
  ASSERT_EQ(core.state_of(id), v1::JOB_STATE_RECOVERING);
  End(AllocationEnd::kOutOfMemory, "OUT_OF_MEMORY");
  ASSERT_TRUE(status().attempts(0).has_end_time());
  EXPECT_EQ(status().attempts(0).failure().failure_class(), "OOM_HOST");
  EXPECT_EQ(status().attempts(0).failure().node(), "vn0");
}

TEST_F(AllocationsTest, TheEndOfTheAllocationIsNoCauseBesideARankThatDied) {
  RunToTen();
  core.Exit(NodeOn("vn1", 1), id, 1, KilledBy(11, core.now().wall));
  core.Report(NodeOn("vn1", 1));
  core.Disconnect(NodeOn("vn0", 1));
  End(AllocationEnd::kOutOfMemory, "OUT_OF_MEMORY");
  ASSERT_TRUE(status().attempts(0).has_end_time());
  EXPECT_EQ(status().attempts(0).failure().failure_class(), "CRASH");
  EXPECT_EQ(status().attempts(0).failure().signal(), 11);
}

TEST_F(AllocationsTest, PreemptionCostsNoRestart) {
  RunToTen();
  End(AllocationEnd::kPreempted, "PREEMPTED");
  ObeyAll(1);
  EXPECT_EQ(core.state_of(id), v1::JOB_STATE_QUEUED);
  EXPECT_EQ(core.job(id).spent_restarts, 0);
  EXPECT_EQ(status().generation(), 2);
}

TEST_F(AllocationsTest, ATimeLimitBeforeTheRanksHadSavedCountsAsAFailure) {
  RunToTen();
  End(AllocationEnd::kTimeLimit, "TIMEOUT");
  ObeyAll(1);
  EXPECT_EQ(core.state_of(id), v1::JOB_STATE_QUEUED);
  EXPECT_EQ(core.job(id).spent_restarts, 1);
}

TEST_F(AllocationsTest, WhatSomebodyCancelsAtTheBackendIsPausedUntilItIsResumed) {
  RunToTen();
  End(AllocationEnd::kCancelled, "CANCELLED");
  ObeyAll(1);
  EXPECT_EQ(core.state_of(id), v1::JOB_STATE_PAUSED);
  EXPECT_EQ(reason().code(), "CANCELLED_OUTSIDE");
  ASSERT_TRUE(core.Ask(SteerJob{.name = id, .steering = Steering::kResume}).ok());
  EXPECT_EQ(phase(), v1::ALLOCATION_PHASE_REQUESTED);
}

TEST_F(AllocationsTest, RanksThatSavedBeforeACancelLeaveItPausedToo) {
  RunToTen();
  for (const char* host : {"vn0", "vn1"}) {
    const std::string node = NodeOn(host, 1);
    core.report(node).set_draining(true);
    core.Exit(node, id, host[2] - '0', ExitOf(v1::RANK_OUTCOME_DRAINED));
    core.Report(node);
  }
  EXPECT_EQ(core.state_of(id), v1::JOB_STATE_QUEUED);
  EXPECT_EQ(phase(), v1::ALLOCATION_PHASE_RELEASED);
  End(AllocationEnd::kCancelled, "CANCELLED");
  EXPECT_EQ(core.state_of(id), v1::JOB_STATE_PAUSED);
  EXPECT_EQ(core.job(id).spent_restarts, 0);
}

TEST_F(AllocationsTest, RanksOfWorkersThatAreGoneWithTheAllocationAreGone) {
  RunToTen();
  core.Disconnect(NodeOn("vn0", 1));
  core.Disconnect(NodeOn("vn1", 1));
  End(AllocationEnd::kFailed, "FAILED, exit code 137");
  EXPECT_EQ(core.state_of(id), v1::JOB_STATE_QUEUED) << "without waiting for their silence";
}

TEST_F(AllocationsTest, WorkersThatDoNotComeInTimeGiveTheAllocationBack) {
  Grant();
  EXPECT_EQ(phase(), v1::ALLOCATION_PHASE_GRANTED);
  core.Advance(absl::Seconds(119));
  EXPECT_EQ(phase(), v1::ALLOCATION_PHASE_GRANTED);
  core.Advance(absl::Seconds(2));
  EXPECT_EQ(phase(), v1::ALLOCATION_PHASE_RELEASED);
  EXPECT_THAT(reason().message(), HasSubstr("have not reached this coordinator"));
}

TEST_F(AllocationsTest, AnswersAboutAnotherGenerationArePassedOver) {
  core.Do(AllocationEnded{"uid-job", 7, "9", AllocationEnd::kCancelled, "", "", ""});
  EXPECT_EQ(phase(), v1::ALLOCATION_PHASE_REQUESTED);
}

TEST_F(AllocationsTest, HoldingAJobTakesTheWishBack) {
  Waits("Resources");
  ASSERT_TRUE(core.Ask(SteerJob{.name = id, .steering = Steering::kHold}).ok());
  EXPECT_FALSE(status().has_allocation());
  bool told = false;
  for (const Effect& effect : core.effects()) {
    const auto* changed = std::get_if<AllocationChanged>(&effect);
    told = told || (changed != nullptr && changed->uid == "uid-job");
  }
  EXPECT_TRUE(told);
}

TEST_F(AllocationsTest, ARestartForgetsNeitherTheWishNorTheRanks) {
  Waits("Resources");
  core.Restart();
  EXPECT_EQ(status().allocation().handle(), "17");
  EXPECT_EQ(phase(), v1::ALLOCATION_PHASE_PENDING);
  EXPECT_EQ(status().generation(), 1) << "not asked for twice";
  RunToTen();
  core.Restart();
  Arrive("vn0");
  Arrive("vn1");
  ObeyAll(1);
  EXPECT_EQ(core.state_of(id), v1::JOB_STATE_RUNNING);
  EXPECT_EQ(status().attempts_size(), 1);
}

}  // namespace
}  // namespace ijepa::coordinator
