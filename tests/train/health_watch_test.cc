// Telemetry through the loop: when it is measured, how ranks share it, what the history gets.
#include "worker/jepa/health_watch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/fakes/toy_learner.h"
#include "tests/train/run_fixture.h"

namespace jepa {
namespace {

using ::testing::ElementsAre;

class HealthWatchTest : public RunFixture {
 protected:
  // Rank r reads r more than `base` in every figure of images.
  static TrainParts PartsReading(const Telemetry& base) {
    TrainParts parts = ToyParts();
    parts.make_learner =
        [base](const TrainConfig& config) -> absl::StatusOr<std::unique_ptr<Learner>> {
      ToyFaults faults;
      faults.telemetry = base;
      faults.telemetry.effective_rank += config.rank;
      faults.telemetry.std_mean += config.rank;
      faults.telemetry.prediction_cosine += config.rank;
      return std::make_unique<ToyLearner>(config, faults);
    };
    return parts;
  }

  static Telemetry Reading(double rank, double std) {
    Telemetry telemetry;
    telemetry.max_effective_rank = 64;
    telemetry.effective_rank = rank;
    telemetry.std_mean = std;
    telemetry.target_distance = 0.25;
    telemetry.encoder_block_gradient_norms = {1, 2};
    return telemetry;
  }
};

TEST_F(HealthWatchTest, FiguresOfImagesAreMeansOverRanksAndTheSameOnAll) {
  TrainConfig config = SmallConfig();
  config.world_size = 2;
  config.telemetry.every_steps = 5;
  const GangResult result = RunGang(config, PartsReading(Reading(20, 0.5)));
  for (int rank = 0; rank < 2; ++rank) {
    ASSERT_TRUE(result.outcomes[rank].ok()) << result.outcomes[rank].status();
    const Telemetry& newest = *result.hosts[rank]->steps.back().telemetry;
    EXPECT_EQ(newest.effective_rank, 20.5);
    EXPECT_EQ(newest.std_mean, 1.0);
    EXPECT_EQ(newest.prediction_cosine, 0.5);
    EXPECT_EQ(newest.target_distance, 0.25) << "of the common state: not summed";
    EXPECT_THAT(newest.encoder_block_gradient_norms, ElementsAre(1, 2));
    EXPECT_EQ(newest.step, 15);
  }
}

TEST_F(HealthWatchTest, ReportsCarryTheNewestMeasurement) {
  TrainConfig config = SmallConfig();
  config.telemetry.every_steps = 5;
  const GangResult result = RunGang(config, PartsReading(Reading(20, 0.5)));
  const std::vector<StepReport>& steps = result.hosts[0]->steps;
  ASSERT_EQ(steps.size(), 18u);
  EXPECT_FALSE(steps[3].telemetry.has_value());
  EXPECT_EQ(steps[4].telemetry->step, 5);
  EXPECT_EQ(steps[8].telemetry->step, 5);
  EXPECT_EQ(steps[9].telemetry->step, 10);
}

TEST_F(HealthWatchTest, ZeroStepsMeasureNothing) {
  TrainConfig config = SmallConfig();
  config.telemetry.every_steps = 0;
  const GangResult result = RunGang(config, PartsReading(Reading(20, 0.5)));
  ASSERT_TRUE(result.outcomes[0].ok()) << result.outcomes[0].status();
  for (const StepReport& step : result.hosts[0]->steps) EXPECT_FALSE(step.telemetry.has_value());
}

TEST_F(HealthWatchTest, CollapseIsNotedOnceByRankZeroAndStandsInTheReports) {
  TrainConfig config = SmallConfig();
  config.world_size = 2;
  config.telemetry.every_steps = 2;
  config.telemetry.collapse.reports = 3;
  const GangResult result = RunGang(config, PartsReading(Reading(0.7, -0.45)));
  EXPECT_EQ(result.hosts[0]->CountNotes("COLLAPSE_SUSPECTED"), 1);
  EXPECT_EQ(result.hosts[0]->CountNotes("COLLAPSE_CLEARED"), 0);
  EXPECT_EQ(result.hosts[1]->CountNotes("COLLAPSE_SUSPECTED"), 0);
  EXPECT_EQ(result.hosts[0]->notes().at(0).step, 6);
  EXPECT_FALSE(result.hosts[1]->steps[4].telemetry->collapse_suspected);
  EXPECT_TRUE(result.hosts[1]->steps[5].telemetry->collapse_suspected);
}

}  // namespace
}  // namespace jepa
