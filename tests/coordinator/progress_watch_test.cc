// When a rank counts as hung: learnt from its own steps, never from liveness.
#include "coordinator/core/progress_watch.h"

#include <gtest/gtest.h>

namespace ijepa::coordinator {
namespace {

constexpr WatchLimits kLimits;

// A rank that has trained steps 1..count, `seconds` each, from monotonic zero.
ProgressWatch Trained(int count, double seconds) {
  ProgressWatch watch;
  watch.Enter(v1::RUN_PHASE_TRAINING, absl::ZeroDuration());
  for (int step = 1; step <= count; ++step) watch.Step(step, absl::Seconds(step * seconds));
  return watch;
}

TEST(ProgressWatchTest, FirstStepsAreExcused) {
  EXPECT_EQ(Trained(ProgressWatch::kExcusedSteps - 1, 1).Limit(kLimits), kLimits.fixed);
  EXPECT_EQ(Trained(ProgressWatch::kExcusedSteps, 1).Limit(kLimits), kLimits.step_floor);
}

TEST(ProgressWatchTest, SlowStepsGetFiveTimesTheLongest) {
  ProgressWatch watch = Trained(10, 20);
  watch.Step(11, absl::Seconds(200 + 30));
  EXPECT_EQ(watch.Limit(kLimits), absl::Seconds(150));
  EXPECT_FALSE(watch.Overdue(kLimits, absl::Seconds(230 + 149)));
  EXPECT_TRUE(watch.Overdue(kLimits, absl::Seconds(230 + 150)));
}

TEST(ProgressWatchTest, NoLimitIsAboveTheFixedOne) {
  EXPECT_EQ(Trained(10, 1000).Limit(kLimits), kLimits.fixed);
}

TEST(ProgressWatchTest, RepeatedStepIsNoProgress) {
  ProgressWatch watch = Trained(10, 1);
  watch.Step(10, absl::Seconds(50));
  watch.Step(9, absl::Seconds(51));
  EXPECT_TRUE(watch.Overdue(kLimits, absl::Seconds(10 + 45)));
}

TEST(ProgressWatchTest, ProbeAndSaveHaveTheFixedLimitAndTeachNothing) {
  ProgressWatch watch = Trained(10, 1);
  watch.Enter(v1::RUN_PHASE_PROBING, absl::Seconds(10));
  EXPECT_FALSE(watch.Overdue(kLimits, absl::Seconds(600)));
  watch.Enter(v1::RUN_PHASE_TRAINING, absl::Seconds(600));
  watch.Step(11, absl::Seconds(601));
  EXPECT_EQ(watch.Limit(kLimits), kLimits.step_floor);
}

TEST(ProgressWatchTest, TimeInWhichItCouldNotBeHeardIsForgivenAndTeachesNothing) {
  ProgressWatch watch = Trained(10, 1);
  watch.Forgive(absl::Seconds(500));
  EXPECT_FALSE(watch.Overdue(kLimits, absl::Seconds(544)));
  watch.Step(11, absl::Seconds(540));
  EXPECT_EQ(watch.Limit(kLimits), kLimits.step_floor);
}

TEST(ProgressWatchTest, SaysWhereItStands) {
  ProgressWatch watch = Trained(10, 1);
  EXPECT_EQ(watch.Describe(absl::Seconds(62)), "in training, 52 s since step 10");
}

}  // namespace
}  // namespace ijepa::coordinator
