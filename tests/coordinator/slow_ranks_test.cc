// Which ranks are named slow, from figures alone.
#include "coordinator/core/slow_ranks.h"

#include <gtest/gtest.h>

namespace ijepa::coordinator {
namespace {

const SlowLimits kLimits;

TEST(SlowRanksTest, AFigureNeedsFiveReportsAndForgetsOlderOnes) {
  WorkWindow window;
  double seconds = 0;
  absl::Duration now;
  for (int report = 0; report <= 5; ++report) {
    EXPECT_FALSE(window.SecondsPerStep().has_value()) << report;
    EXPECT_TRUE(window.Take(10 * report, seconds, now, kLimits));
    seconds += 10 * 0.5;
    now += kLimits.interval;
  }
  EXPECT_DOUBLE_EQ(*window.SecondsPerStep(), 0.5);
  for (int report = 6; report <= 10; ++report) {
    seconds += 10 * (2.0 - 0.5);
    EXPECT_TRUE(window.Take(10 * report, seconds, now, kLimits));
    seconds += 10 * 0.5;
    now += kLimits.interval;
  }
  EXPECT_DOUBLE_EQ(*window.SecondsPerStep(), 2.0);
}

TEST(SlowRanksTest, ReportsThatComeTooSoonOrGoBackAreNotTaken) {
  WorkWindow window;
  EXPECT_TRUE(window.Take(1, 1, absl::Seconds(10), kLimits));
  EXPECT_FALSE(window.Take(2, 2, absl::Seconds(10) + kLimits.interval / 2, kLimits));
  EXPECT_FALSE(window.Take(1, 1, absl::Seconds(20), kLimits));
  EXPECT_TRUE(window.Take(2, 2, absl::Seconds(20), kLimits));
}

std::vector<double> Ratios(const std::vector<std::optional<double>>& seconds) {
  std::vector<double> ratios;
  for (const WorkRatio& work : CompareWork(seconds)) ratios.push_back(work.ratio);
  return ratios;
}

TEST(SlowRanksTest, ComparesWithTheLowerMedianSoThatOneOfTwoCanBeNamed) {
  EXPECT_EQ(Ratios({3.0, 1.0}), (std::vector<double>{3, 1}));
  EXPECT_EQ(Ratios({1.0, 2.0, 4.0, 8.0}), (std::vector<double>{0.5, 1, 2, 4}));
  EXPECT_EQ(CompareWork({3.0, 1.0})[0].excess, absl::Seconds(2));
}

TEST(SlowRanksTest, JudgesNobodyAloneOrBeforeEveryRankHasAFigure) {
  EXPECT_EQ(Ratios({3.0}), std::vector<double>(1));
  EXPECT_EQ(Ratios({3.0, 1.0, std::nullopt}), std::vector<double>(3));
}

// One rank, a report every limits.interval, beside others of one second per step.
class SlowVerdictTest : public ::testing::Test {
 protected:
  SlowVerdict::News Take(double ratio, absl::Duration excess) {
    now_ += kLimits.interval;
    const SlowVerdict::News news = verdict_.Take({ratio, excess}, now_, kLimits);
    named_ += news == SlowVerdict::News::kNamed;
    cleared_ += news == SlowVerdict::News::kCleared;
    return news;
  }
  SlowVerdict::News Take(double ratio) { return Take(ratio, absl::Seconds(ratio - 1)); }
  void Calm() {
    for (int i = 0; i < kLimits.calm_figures; ++i) Take(1);
  }

  SlowVerdict verdict_;
  absl::Duration now_;
  int named_ = 0;
  int cleared_ = 0;
};

TEST_F(SlowVerdictTest, IsNamedAboveOnePointTwo) {
  EXPECT_EQ(Take(1.19), SlowVerdict::News::kNone);
  EXPECT_FALSE(verdict_.slow());
  EXPECT_EQ(Take(1.21), SlowVerdict::News::kNamed);
  EXPECT_TRUE(verdict_.slow());
}

TEST_F(SlowVerdictTest, IsClearedByFiveFiguresInARowBelowOnePointOne) {
  Take(3);
  for (int round = 0; round < 3; ++round) {
    for (int i = 1; i < kLimits.calm_figures; ++i) Take(1.09);
    EXPECT_EQ(Take(1.11), SlowVerdict::News::kNone) << "it begins again";
  }
  for (int i = 1; i < kLimits.calm_figures; ++i) EXPECT_EQ(Take(1.09), SlowVerdict::News::kNone);
  EXPECT_TRUE(verdict_.slow());
  EXPECT_EQ(Take(1.09), SlowVerdict::News::kCleared);
  EXPECT_FALSE(verdict_.slow());
}

TEST_F(SlowVerdictTest, AFewMillisecondsAreNoSlownessWhateverTheRatio) {
  EXPECT_EQ(Take(4, kLimits.least_excess * 0.9), SlowVerdict::News::kNone);
  EXPECT_EQ(Take(4, kLimits.least_excess), SlowVerdict::News::kNamed);
}

TEST_F(SlowVerdictTest, WhatComesAndGoesIsToldOnceWithinTheQuietTimeAndCounted) {
  const absl::Duration begin = now_;
  while (now_ - begin + kLimits.interval < kLimits.quiet) {
    Take(3);
    Calm();
  }
  EXPECT_EQ(named_, 1);
  EXPECT_EQ(cleared_, 1);
  EXPECT_GT(verdict_.times(), 10);
  now_ += kLimits.interval * kLimits.calm_figures;
  EXPECT_EQ(Take(3), SlowVerdict::News::kNamed) << "it is told again after that";
  Calm();
  EXPECT_EQ(cleared_, 2);
}

}  // namespace
}  // namespace ijepa::coordinator
