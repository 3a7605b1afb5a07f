// Queues, time limits, preemption, cordons and maintenance through the core.
#include <gtest/gtest.h>

#include <algorithm>

#include "absl/strings/match.h"
#include "coordinator/core/placing.h"
#include "core_harness.h"

namespace ijepa::coordinator {
namespace {

using ::absl::StrContains;

class CoreSchedulingTest : public ::testing::Test {
 protected:
  // Options count from the next restart on.
  void Configure() { core_.Restart(); }

  std::string Submit(const std::string& name, int ranks, const std::string& priority_class = "",
                     const std::string& limit = "") {
    CreateJob command;
    command.spec = SpecFor(name, ranks);
    if (!priority_class.empty()) command.spec.set_priority_class(priority_class);
    if (!limit.empty()) command.spec.set_time_limit(limit);
    command.queue_anyway = true;
    const auto job = core_.Create(std::move(command));
    EXPECT_TRUE(job.ok()) << job.status();
    return name;
  }

  // Time in which the node is heard.
  void Beat(const std::string& node, absl::Duration duration) {
    const absl::Duration beat = absl::Seconds(5);
    for (absl::Duration left = duration; left > absl::ZeroDuration(); left -= beat) {
      core_.Advance(std::min(left, beat));
      core_.Report(node);
    }
  }

  // Every rank of the job ends drained, as it was told.
  void Drain(const std::string& node, const std::string& id) {
    const int ranks = static_cast<int>(core_.job(id).gang->ranks.size());
    for (int rank = 0; rank < ranks; ++rank) {
      core_.Exit(node, id, rank, ExitOf(v1::RANK_OUTCOME_DRAINED));
    }
    core_.Report(node);
  }

  std::string DrainReasonAt(const std::string& node) {
    const v1::DesiredState& desired = core_.desired(node);
    return desired.gangs_size() == 0 ? "" : desired.gangs(0).drain().reason();
  }

  absl::StatusOr<v1::Job> CreateIn(const std::string& queue) {
    CreateJob command;
    command.spec = SpecFor("in-" + queue, 1);
    command.spec.set_queue(queue);
    command.queue_anyway = true;
    return core_.Create(std::move(command));
  }

  CoreHarness core_;
};

TEST_F(CoreSchedulingTest, AQueueSaysWhatItsJobsDoNot) {
  core_.options().scheduling.queues["research"].time_limit = "2h";
  core_.options().scheduling.queues["research"].priority_class = "high";
  Configure();
  const auto job = CreateIn("research");
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_EQ(job->spec().time_limit(), "2h");
  EXPECT_EQ(job->spec().priority_class(), "high");
  core_.Restart();
  EXPECT_EQ(core_.job("in-research").proto.spec().time_limit(), "2h");
}

TEST_F(CoreSchedulingTest, CountsPassesThatHeldFreeSlotsBackForOneThatWaits) {
  core_.options().scheduling.max_bypass = 0;
  Configure();
  core_.Connect("node-a", 2);
  Submit("runs", 1);
  Submit("large", 2);
  EXPECT_EQ(core_.state().figures.held_back_passes, 0) << "nothing that waits would fit";
  Submit("small", 1);
  ASSERT_EQ(core_.state_of("small"), v1::JOB_STATE_QUEUED);
  EXPECT_GT(core_.state().figures.held_back_passes, 0);
  ASSERT_TRUE(core_.Cancel("large").ok());
  EXPECT_EQ(core_.state_of("small"), v1::JOB_STATE_STARTING);
  EXPECT_EQ(core_.state().figures.held_back_passes, 0);
}

// More groups may wait to be told than one turn tells; until the next, all of a group may leave and
// others like it come, at which no pass has looked.
TEST_F(CoreSchedulingTest, AGroupThatCameAgainIsNotToldBeforeAPassHasLookedAtIt) {
  State state;
  QueuedJob job;
  job.id = "late";
  job.sizes = {1};
  state.waiting.Update(job);
  state.waiting.TakeFresh(1);
  ASSERT_EQ(state.waiting.groups().size(), 1);
  state.stale_groups.insert(state.waiting.groups().begin()->first);
  Turn turn(state, core_.options(), core_.now());
  TellReasons(turn, 10);
  EXPECT_TRUE(state.stale_groups.empty());
}

TEST_F(CoreSchedulingTest, RefusesQueuesAndClassesThatAreNotThere) {
  EXPECT_EQ(CreateIn("nowhere").status().message(), "queue is \"nowhere\"; must be one of default");
  CreateJob command;
  command.spec = SpecFor("urgent", 1);
  command.spec.set_priority_class("urgent");
  EXPECT_EQ(core_.Create(std::move(command)).status().message(),
            "priority_class is \"urgent\"; must be one of high, low, normal");
}

TEST_F(CoreSchedulingTest, AJobAtItsTimeLimitSavesAndFails) {
  core_.Connect("a", 2);
  Submit("job", 2, "", "1m");
  core_.RunTo("job", 3);
  Beat("a", absl::Seconds(59));
  EXPECT_EQ(DrainReasonAt("a"), "");
  Beat("a", absl::Seconds(2));
  EXPECT_EQ(DrainReasonAt("a"), "TIMEOUT");
  EXPECT_TRUE(core_.HasEvent("job", "TIME_LIMIT"));
  Drain("a", "job");
  EXPECT_EQ(core_.state_of("job"), v1::JOB_STATE_FAILED);
  EXPECT_EQ(core_.job("job").proto.status().reason().code(), "TIMEOUT");
}

TEST_F(CoreSchedulingTest, TimeOfEarlierAttemptsCounts) {
  core_.Connect("a", 1);
  Submit("job", 1, "", "1m");
  core_.RunTo("job", 3);
  Beat("a", absl::Seconds(40));
  core_.Exit("a", "job", 0, KilledBy(9, core_.now().wall));
  core_.Report("a");
  ASSERT_EQ(core_.state_of("job"), v1::JOB_STATE_STARTING);
  core_.RunTo("job", 3);
  core_.Restart();
  core_.Connect("a", 1);
  Beat("a", absl::Seconds(21));
  EXPECT_EQ(DrainReasonAt("a"), "TIMEOUT");
}

TEST_F(CoreSchedulingTest, ARankThatDoesNotStopAtTheLimitIsKilled) {
  core_.Connect("a", 1);
  Submit("job", 1, "", "1m");
  core_.RunTo("job", 3);
  Beat("a", absl::Minutes(1) + core_.options().drain_deadline + absl::Seconds(2));
  EXPECT_EQ(core_.desired("a").gangs_size(), 0);
  core_.Obey("a");
  EXPECT_EQ(core_.state_of("job"), v1::JOB_STATE_FAILED);
}

TEST_F(CoreSchedulingTest, AHigherClassGetsTheSlotsAndTheOtherGoesOnLater) {
  core_.Connect("a", 2);
  Submit("low", 2, "low");
  core_.RunTo("low", 3);
  Beat("a", core_.options().scheduling.min_run_time + absl::Seconds(1));
  core_.RunTo("low", 4);
  Submit("high", 2, "high");
  EXPECT_EQ(DrainReasonAt("a"), "PREEMPT");
  EXPECT_TRUE(core_.HasEvent("low", "PREEMPTED"));
  EXPECT_EQ(core_.job("high").proto.status().reason().code(), "PREEMPTING");
  core_.Commit("low", 4, "/checkpoints/low/4");
  Drain("a", "low");
  EXPECT_EQ(core_.state_of("low"), v1::JOB_STATE_QUEUED);
  EXPECT_EQ(core_.state_of("high"), v1::JOB_STATE_STARTING);
  EXPECT_EQ(core_.job("low").spent_restarts, 0);
  core_.RunTo("high", 1);
  core_.Complete("a", "high");
  EXPECT_EQ(core_.state_of("low"), v1::JOB_STATE_STARTING);
  EXPECT_EQ(core_.job("low").proto.status().attempts().rbegin()->first_step(), 4);
}

TEST_F(CoreSchedulingTest, ACordonedNodeGetsNoRanksAndKeepsThoseItHas) {
  core_.Connect("a", 2);
  Submit("runs", 1);
  core_.RunTo("runs", 1);
  ASSERT_TRUE(core_.Cordon("a", true, "fans").ok());
  Submit("waits", 1);
  EXPECT_EQ(core_.state_of("runs"), v1::JOB_STATE_RUNNING);
  EXPECT_EQ(core_.state_of("waits"), v1::JOB_STATE_QUEUED);
  core_.Restart();
  core_.Connect("a", 2);
  const Node& node = core_.state().nodes.at("a");
  EXPECT_EQ(DescribeNode(core_.state(), "a", node).cordon_reason(), "fans");
  EXPECT_EQ(core_.state_of("waits"), v1::JOB_STATE_QUEUED);
  ASSERT_TRUE(core_.Cordon("a", false, "").ok());
  EXPECT_EQ(core_.state_of("waits"), v1::JOB_STATE_STARTING);
  EXPECT_TRUE(absl::IsNotFound(core_.Cordon("b", true, "")));
}

TEST_F(CoreSchedulingTest, RanksLeaveANodeBeforeItsMaintenance) {
  core_.Connect("a", 1);
  Submit("job", 1);
  core_.RunTo("job", 1);
  const absl::Time start = core_.now().wall + absl::Minutes(10);
  ASSERT_TRUE(core_.SetMaintenance("a", start, start + absl::Minutes(5)).ok());
  Beat("a", absl::Minutes(10) - core_.options().drain_deadline - absl::Seconds(1));
  EXPECT_EQ(DrainReasonAt("a"), "");
  Beat("a", absl::Seconds(2));
  EXPECT_EQ(DrainReasonAt("a"), "MAINTENANCE");
  Drain("a", "job");
  EXPECT_EQ(core_.state_of("job"), v1::JOB_STATE_QUEUED);
  Beat("a", absl::Minutes(6));
  EXPECT_EQ(core_.state_of("job"), v1::JOB_STATE_QUEUED);
  Beat("a", absl::Minutes(2));
  EXPECT_EQ(core_.state_of("job"), v1::JOB_STATE_STARTING);
  EXPECT_TRUE(core_.state().nodes.at("a").maintenance.empty());
}

TEST_F(CoreSchedulingTest, RefusesWindowsThatMakeNoSense) {
  core_.Connect("a", 1);
  const absl::Time now = core_.now().wall;
  EXPECT_FALSE(core_.SetMaintenance("a", now, now).ok());
  EXPECT_FALSE(core_.SetMaintenance("a", now - absl::Hours(2), now - absl::Hours(1)).ok());
  EXPECT_TRUE(absl::IsNotFound(core_.SetMaintenance("b", now, now + absl::Hours(1))));
}

TEST_F(CoreSchedulingTest, EveryJobThatWaitsIsToldWhyAndByHowMuch) {
  core_.Connect("a", 2);
  Submit("first", 2);
  for (int i = 0; i < 3; ++i) Submit("wait-" + std::to_string(i), 2);
  core_.Advance(absl::Seconds(1));
  for (int i = 0; i < 3; ++i) {
    const v1::Reason& reason = core_.job("wait-" + std::to_string(i)).proto.status().reason();
    EXPECT_EQ(reason.code(), "WAITING_FOR_SLOTS") << i;
    EXPECT_EQ(reason.resource(), "slots") << i;
    EXPECT_EQ(reason.short_by(), 2) << i;
  }
}

TEST_F(CoreSchedulingTest, WhatAQueueUsedOutlivesTheCoordinator) {
  core_.Connect("a", 2);
  Submit("job", 2);
  core_.RunTo("job", 1);
  core_.Advance(absl::Minutes(1));
  core_.Complete("a", "job");
  const double used = core_.state().usage.at("default").slot_seconds;
  EXPECT_NEAR(used, 120, 2);
  core_.Restart();
  EXPECT_NEAR(core_.state().usage.at("default").slot_seconds, used, 1e-6);
}

TEST_F(CoreSchedulingTest, ALimitOfBypassesIsKeptOverARestart) {
  core_.options().scheduling.max_bypass = 1;
  Configure();
  core_.Connect("a", 2);
  Submit("holder", 1);
  core_.RunTo("holder", 1);
  Submit("large", 2);
  Submit("small", 1);
  EXPECT_EQ(core_.state_of("small"), v1::JOB_STATE_STARTING);
  EXPECT_EQ(core_.job("large").bypassed, 1);
  core_.RunTo("small", 1);
  core_.Restart();
  EXPECT_EQ(core_.job("large").bypassed, 1);
  core_.Connect("a", 2);
  core_.Complete("a", "small");
  Submit("another", 1);
  EXPECT_EQ(core_.state_of("another"), v1::JOB_STATE_QUEUED);
  EXPECT_TRUE(StrContains(core_.job("another").proto.status().reason().message(), "large"));
}

}  // namespace
}  // namespace ijepa::coordinator
