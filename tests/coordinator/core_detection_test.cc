// Hangs with their stacks, slow ranks, and the times of a failure.
#include <gtest/gtest.h>

#include "core_harness.h"
#include "two_rank_job.h"

namespace ijepa::coordinator {
namespace {

class CoreDetectionTest : public TwoRankJob {
 protected:
  void Step(int rank, int64_t step, double compute_seconds) {
    v1::FromRank message;
    message.mutable_step()->set_step(step);
    message.mutable_step()->set_compute_seconds(compute_seconds);
    core.FromRank(id, rank, message);
  }

  // Trains until rank 1 stands still in step 21, and waits until that is noticed.
  void Hang() {
    for (int64_t step = 11; step <= 21; ++step) {
      Step(0, step, 0);
      if (step <= 20) Step(1, step, 0);
      Talk(absl::Seconds(1));
    }
    for (int i = 0; i < 120 && !core.HasEvent(id, "HANG"); ++i) Talk(absl::Seconds(1));
    ASSERT_TRUE(core.HasEvent(id, "HANG"));
  }

  void CollectedOn(const std::string& node) {
    for (v1::RankStatus& rank : *core.report(node).mutable_ranks()) rank.set_stacks_collected(true);
    core.Report(node);
  }
};

TEST_F(CoreDetectionTest, AHungGangIsKilledWhenTheStacksOfAllItsRanksAreTaken) {
  Hang();
  EXPECT_EQ(core.state_of(id), v1::JOB_STATE_RECOVERING);
  ASSERT_EQ(core.desired("node-a").gangs_size(), 1) << "not killed before its stacks are taken";
  EXPECT_TRUE(core.desired("node-a").gangs(0).collect_stacks());
  EXPECT_TRUE(core.desired("node-b").gangs(0).collect_stacks());
  CollectedOn("node-a");
  EXPECT_EQ(core.desired("node-a").gangs_size(), 1) << "rank 1's are missing";
  CollectedOn("node-b");
  EXPECT_EQ(core.desired("node-a").gangs_size(), 0);
  EXPECT_EQ(core.desired("node-b").gangs_size(), 0);
  EXPECT_TRUE(core.HasEvent(id, "STACKS_COLLECTED"));
  const v1::Failure& failure = core.job(id).proto.status().attempts(0).failure();
  EXPECT_EQ(failure.failure_class(), "HANG");
  EXPECT_EQ(failure.rank(), 1) << "it is a step behind";
  EXPECT_EQ(failure.node(), "node-b");
  EXPECT_EQ(failure.stack_ranks_size(), 2);
  core.Obey("node-a");
  core.Obey("node-b");
  EXPECT_EQ(core.state_of(id), v1::JOB_STATE_STARTING);
}

TEST_F(CoreDetectionTest, StacksThatDoNotComeAreNotAwaitedForEver) {
  Hang();
  CollectedOn("node-a");
  Talk(core.options().stacks_deadline + absl::Seconds(1));
  EXPECT_EQ(core.desired("node-b").gangs_size(), 0);
  EXPECT_EQ(core.job(id).proto.status().attempts(0).failure().stack_ranks_size(), 1);
}

TEST_F(CoreDetectionTest, ACoordinatorThatRestartsWhileStacksAreTakenGoesOnAndClears) {
  Hang();
  core.Restart();
  core.Connect("node-a", 1);
  core.Connect("node-b", 1);
  Talk(core.options().stacks_deadline + absl::Seconds(1));
  EXPECT_EQ(core.desired("node-a").gangs_size(), 0);
  core.Obey("node-a");
  core.Obey("node-b");
  EXPECT_EQ(core.state_of(id), v1::JOB_STATE_STARTING);
}

TEST_F(CoreDetectionTest, ADeadRankIsNotAskedForStacks) {
  core.Exit("node-b", id, 1, KilledBy(9, core.now().wall - absl::Milliseconds(700)));
  core.Report("node-b");
  EXPECT_EQ(core.desired("node-a").gangs_size(), 0);
  const v1::Attempt& attempt = core.job(id).proto.status().attempts(0);
  EXPECT_EQ(FromProto(attempt.failure().detected_time()) - FromProto(attempt.failure().time()),
            absl::Milliseconds(700));
  EXPECT_TRUE(attempt.has_running_time());
}

TEST_F(CoreDetectionTest, ASlowRankIsNamedAndClearedAgain) {
  double seconds = 0;
  int64_t step = 10;
  const auto train = [&](int reports, double ratio) {
    for (int i = 0; i < reports; ++i) {
      step += 10;
      seconds += ratio;
      Step(0, step, static_cast<double>(step) * 0.1);
      Step(1, step, seconds);
      Talk(core.options().slow.interval);
    }
  };
  train(6, 1);
  EXPECT_FALSE(core.HasEvent(id, "SLOW_RANK"));
  train(6, 3);
  ASSERT_EQ(core.job(id).proto.status().slow_ranks_size(), 1);
  EXPECT_EQ(core.job(id).proto.status().slow_ranks(0).rank(), 1);
  EXPECT_NEAR(core.job(id).proto.status().slow_ranks(0).ratio(), 3, 0.01);
  EXPECT_TRUE(core.HasEvent(id, "SLOW_RANK"));
  EXPECT_EQ(core.state_of(id), v1::JOB_STATE_RUNNING) << "it is named, not killed";
  train(6, 1);
  EXPECT_FALSE(core.HasEvent(id, "SLOW_RANK_CLEARED")) << "one figure below the limit is not calm";
  train(4, 1);
  EXPECT_TRUE(core.HasEvent(id, "SLOW_RANK_CLEARED"));
  EXPECT_EQ(core.job(id).proto.status().slow_ranks_size(), 0);
}

TEST_F(CoreDetectionTest, ARankThatIsSlowAgainAndAgainIsToldOnce) {
  for (int64_t step = 20, busy = 0; step < 2000; step += 10) {
    busy += step / 200 % 2 == 0 ? 10 : 40;
    Step(0, step, static_cast<double>(step) * 0.1);
    Step(1, step, static_cast<double>(busy) * 0.1);
    Talk(core.options().slow.interval);
  }
  EXPECT_EQ(core.CountEvents(id, "SLOW_RANK"), 1);
  EXPECT_EQ(core.CountEvents(id, "SLOW_RANK_CLEARED"), 1);
}

}  // namespace
}  // namespace ijepa::coordinator
