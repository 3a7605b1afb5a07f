// The alarm on series made by hand: what it fires on, how often, and what it lets pass.
#include "worker/jepa/collapse_alarm.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

namespace jepa {
namespace {

constexpr int kMaxRank = 192;

Telemetry Measured(double rank, double std) {
  Telemetry telemetry;
  telemetry.max_effective_rank = kMaxRank;
  telemetry.effective_rank = rank;
  telemetry.std_mean = std;
  return telemetry;
}

struct Changes {
  int raised = 0;
  int cleared = 0;
  int first_raised = -1;  // Index of the measurement.
};

Changes Feed(CollapseAlarm& alarm, const std::vector<Telemetry>& series) {
  Changes changes;
  for (size_t i = 0; i < series.size(); ++i) {
    const CollapseChange change = alarm.Take(series[i]);
    if (change == CollapseChange::kRaised && changes.raised++ == 0) {
      changes.first_raised = static_cast<int>(i);
    }
    changes.cleared += change == CollapseChange::kCleared ? 1 : 0;
  }
  return changes;
}

TEST(CollapseAlarmTest, HealthySeriesWithNoiseNeverFires) {
  for (unsigned seed = 0; seed < 50; ++seed) {
    std::mt19937 random(seed);
    std::normal_distribution<double> noise(0, 0.2);
    CollapseAlarm alarm{CollapseConfig()};
    std::vector<Telemetry> series;
    for (int i = 0; i < 2000; ++i) {
      // Falls early and comes back, as runs do; 20 % noise.
      const double dip = 1 - 0.6 * std::exp(-std::pow((i - 40) / 30.0, 2));
      series.push_back(Measured(40 * dip * (1 + noise(random)), 0.4 * dip * (1 + noise(random))));
    }
    EXPECT_EQ(Feed(alarm, series).raised, 0) << "seed " << seed;
  }
}

TEST(CollapseAlarmTest, CollapseFiresOnceAfterTheGivenReports) {
  CollapseAlarm alarm{CollapseConfig()};
  std::vector<Telemetry> series(100, Measured(40, 0.5));
  series.insert(series.end(), 100, Measured(1.5, 0.03));
  const Changes changes = Feed(alarm, series);
  EXPECT_EQ(changes.raised, 1);
  EXPECT_EQ(changes.cleared, 0);
  EXPECT_EQ(changes.first_raised, 104);
  EXPECT_TRUE(alarm.raised());
  EXPECT_THAT(alarm.Describe(), ::testing::AllOf(::testing::HasSubstr("rank 1.5 of at most 192"),
                                                 ::testing::HasSubstr("best 40")));
}

TEST(CollapseAlarmTest, CollapseFromTheStartFiresWithoutABestToFallFrom) {
  CollapseAlarm alarm{CollapseConfig()};
  EXPECT_EQ(Feed(alarm, std::vector<Telemetry>(10, Measured(1.5, 0.03))).raised, 1);
}

TEST(CollapseAlarmTest, FallToAFractionOfItsBestFiresAboveTheShareOfTheLargest) {
  CollapseAlarm alarm{CollapseConfig()};
  Feed(alarm, std::vector<Telemetry>(10, Measured(150, 0.8)));
  // 25 of 192 is more than the share of the largest, less than the share of the best.
  EXPECT_EQ(Feed(alarm, std::vector<Telemetry>(10, Measured(25, 0.03))).raised, 1);
}

TEST(CollapseAlarmTest, EitherFigureAloneDoesNotFire) {
  CollapseAlarm low_rank{CollapseConfig()};
  EXPECT_EQ(Feed(low_rank, std::vector<Telemetry>(50, Measured(1.5, 0.5))).raised, 0);
  CollapseAlarm low_std{CollapseConfig()};
  EXPECT_EQ(Feed(low_std, std::vector<Telemetry>(50, Measured(100, 0.01))).raised, 0);
}

TEST(CollapseAlarmTest, SeriesAroundTheThresholdDoesNotFlap) {
  const CollapseConfig config;
  CollapseAlarm alarm{config};
  std::mt19937 random(7);
  // Stays for a while below the lower bound, then for a while between both, and so on.
  std::uniform_real_distribution<double> below(0.5, 1.0), between(config.std.low, config.std.high);
  std::vector<Telemetry> series;
  for (int i = 0; i < 10000; ++i) {
    const bool low = i / 8 % 2 == 0;
    series.push_back(Measured(2, low ? config.std.low * below(random) : between(random)));
  }
  const Changes changes = Feed(alarm, series);
  EXPECT_EQ(changes.raised, 1);
  EXPECT_EQ(changes.cleared, 0);
}

TEST(CollapseAlarmTest, OneLowOrHighReportBetweenOthersStartsTheCountAnew) {
  CollapseAlarm alarm{CollapseConfig()};
  std::vector<Telemetry> series;
  for (int i = 0; i < 200; ++i) {
    series.push_back(i % 5 == 4 ? Measured(60, 0.6) : Measured(1.5, 0.03));
  }
  EXPECT_EQ(Feed(alarm, series).raised, 0);
}

TEST(CollapseAlarmTest, RecoveryClearsOnceAndANewCollapseFiresAgain) {
  CollapseAlarm alarm{CollapseConfig()};
  std::vector<Telemetry> series;
  for (int phase = 0; phase < 4; ++phase) {
    series.insert(series.end(), 20, phase % 2 == 0 ? Measured(1.5, 0.03) : Measured(60, 0.6));
  }
  const Changes changes = Feed(alarm, series);
  EXPECT_EQ(changes.raised, 2);
  EXPECT_EQ(changes.cleared, 2);
  EXPECT_FALSE(alarm.raised());
}

TEST(CollapseAlarmTest, MeasurementsThatAreNotFiniteArePassedOver) {
  CollapseAlarm alarm{CollapseConfig()};
  const double nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_EQ(Feed(alarm, std::vector<Telemetry>(50, Measured(nan, nan))).raised, 0);
  EXPECT_EQ(Feed(alarm, std::vector<Telemetry>(10, Measured(1.5, 0.03))).raised, 1);
}

}  // namespace
}  // namespace jepa
