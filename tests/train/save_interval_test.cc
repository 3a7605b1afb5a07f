// When a run saves by the clock.
#include "worker/jepa/save_interval.h"

#include <gtest/gtest.h>

namespace jepa {
namespace {

constexpr absl::Duration kStart = absl::Hours(7);

CheckpointConfig Adapting(double hours_between_failures) {
  CheckpointConfig config;
  config.auto_interval = true;
  config.hours_between_failures = hours_between_failures;
  return config;
}

TEST(SaveIntervalTest, NeverIsDueWhereOnlyStepsCount) {
  const SaveInterval interval(CheckpointConfig{}, kStart);
  EXPECT_FALSE(interval.Due(kStart + absl::Hours(100000)));
}

TEST(SaveIntervalTest, IsDueTheGivenMinutesAfterTheStartAndAfterEachSave) {
  CheckpointConfig config;
  config.every_minutes = 15;
  SaveInterval interval(config, kStart);
  EXPECT_FALSE(interval.Due(kStart + absl::Minutes(14)));
  EXPECT_TRUE(interval.Due(kStart + absl::Minutes(15)));
  interval.Saved(kStart + absl::Minutes(20), absl::Seconds(3));
  EXPECT_FALSE(interval.Due(kStart + absl::Minutes(34)));
  EXPECT_TRUE(interval.Due(kStart + absl::Minutes(35)));
}

TEST(SaveIntervalTest, FollowsTheMeasuredStallAsYoungAndDalyHaveIt) {
  SaveInterval interval(Adapting(500), kStart);
  interval.Saved(kStart, absl::Seconds(0.5));
  EXPECT_NEAR(absl::ToDoubleSeconds(interval.interval()), 1341.6, 0.1) << "sqrt(2 * 0.5 s * 500 h)";
  interval.Saved(kStart, absl::Seconds(0.6));
  EXPECT_NEAR(absl::ToDoubleSeconds(interval.interval()), 1039.2, 0.1) << "mean stall 0.3 s";
}

TEST(SaveIntervalTest, StaysWithinItsBounds) {
  SaveInterval rare(Adapting(1e6), kStart);
  rare.Saved(kStart, absl::Minutes(1));
  EXPECT_EQ(rare.interval(), SaveInterval::kLongest);
  SaveInterval often(Adapting(0.1), kStart);
  often.Saved(kStart, absl::Milliseconds(1));
  EXPECT_EQ(often.interval(), SaveInterval::kShortest);
}

}  // namespace
}  // namespace jepa
