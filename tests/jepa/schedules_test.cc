// Values that follow from the formulas; whole runs are compared in plan_golden_test.
#include "worker/jepa/plan/schedules.h"

#include <gtest/gtest.h>

namespace jepa {
namespace {

TEST(RunLengthTest, CountsAsADistributedSamplerWithDropLast) {
  const RunLength published = RunLengthFor(1'281'167, 16, 128, 300);
  EXPECT_EQ(published.steps_per_epoch, 625);
  EXPECT_EQ(published.total_steps, 187'500);
  EXPECT_EQ(RunLengthFor(20'000, 2, 32, 2.55).steps_per_epoch, 312);
  EXPECT_EQ(RunLengthFor(20'000, 2, 32, 2.55).total_steps, 795);
  // 9 images for 2 shards are 5 each: the head is repeated.
  EXPECT_EQ(RunLengthFor(9, 2, 5, 1).steps_per_epoch, 1);
}

TEST(RunLengthTest, IsZeroWhenTheDataIsSmallerThanOneBatch) {
  EXPECT_EQ(RunLengthFor(8, 2, 5, 100).steps_per_epoch, 0);
  EXPECT_EQ(RunLengthFor(8, 2, 5, 100).total_steps, 0);
  EXPECT_EQ(RunLengthFor(0, 2, 5, 100).total_steps, 0);
}

TEST(RunLengthTest, HasAtLeastOneStep) { EXPECT_EQ(RunLengthFor(10, 1, 5, 0.1).total_steps, 1); }

OptimizationConfig Example() {
  OptimizationConfig config;
  config.epochs = 5;
  config.warmup = 2;
  config.start_lr = 2e-4;
  config.lr = 1e-3;
  return config;
}

// Spec 1.6.
TEST(SchedulesTest, GivesTheFixtureOfTheSpecification) {
  const Schedules schedules(Example(), 10);
  EXPECT_DOUBLE_EQ(schedules.lr(0), 2.4e-4);
  EXPECT_NEAR(schedules.weight_decay(0), 0.0403551, 1e-7);
  EXPECT_DOUBLE_EQ(schedules.ema_momentum(0), 0.996);
}

TEST(SchedulesTest, EndsAtTheFinalValues) {
  const Schedules schedules(Example(), 10);
  EXPECT_DOUBLE_EQ(schedules.lr(19), 1e-3);
  EXPECT_DOUBLE_EQ(schedules.lr(49), 1e-6);
  EXPECT_DOUBLE_EQ(schedules.weight_decay(49), 0.4);
  EXPECT_DOUBLE_EQ(schedules.ema_momentum(50), 1.0);
}

TEST(SchedulesTest, StaysAtTheFinalValuesWhenStretchedBelowOne) {
  OptimizationConfig config = Example();
  config.ipe_scale = 0.5;
  const Schedules schedules(config, 10);
  for (const int step : {24, 30, 49}) {
    EXPECT_DOUBLE_EQ(schedules.lr(step), 1e-6) << step;
    EXPECT_DOUBLE_EQ(schedules.weight_decay(step), 0.4) << step;
    EXPECT_LE(schedules.ema_momentum(step), 1.0) << step;
  }
}

TEST(SchedulesTest, LowersAWeightDecayThatEndsBelowItsStart) {
  OptimizationConfig config = Example();
  config.weight_decay = 0.4;
  config.final_weight_decay = 0.04;
  const Schedules schedules(config, 10);
  EXPECT_GT(schedules.weight_decay(10), schedules.weight_decay(11));
  EXPECT_DOUBLE_EQ(schedules.weight_decay(49), 0.04);
}

TEST(SchedulesTest, SurvivesARunShorterThanItsWarmup) {
  OptimizationConfig config = Example();
  config.warmup = 10;
  const Schedules schedules(config, 1);
  for (int step = 0; step < 5; ++step) {
    EXPECT_GT(schedules.lr(step), config.start_lr);
    EXPECT_LT(schedules.lr(step), config.lr);
  }
}

}  // namespace
}  // namespace jepa
