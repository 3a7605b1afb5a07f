// Which ranks are named slow, from figures alone.
#include "coordinator/core/slow_ranks.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <random>

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

TEST(SlowRanksTest, WhatIsNoStepOrNoTimeIsNotTaken) {
  WorkWindow window;
  EXPECT_FALSE(window.Take(-1, 1, absl::Seconds(10), kLimits));
  EXPECT_FALSE(window.Take(1, -1, absl::Seconds(10), kLimits));
  EXPECT_FALSE(window.Take(1, std::numeric_limits<double>::quiet_NaN(), {}, kLimits));
  EXPECT_FALSE(window.Take(1, std::numeric_limits<double>::infinity(), {}, kLimits));
  EXPECT_TRUE(window.Take(1, 1, absl::Seconds(10), kLimits));
}

// Of each rank, from all figures at once.
std::vector<WorkRatio> CompareAll(const std::vector<std::optional<double>>& seconds) {
  std::vector<WorkRatio> result(seconds.size());
  std::vector<double> sorted;
  for (const std::optional<double>& figure : seconds) {
    if (!figure.has_value()) return result;
    sorted.push_back(*figure);
  }
  std::sort(sorted.begin(), sorted.end());
  const double median = sorted.empty() ? 0 : sorted[(sorted.size() - 1) / 2];
  if (sorted.size() < 2 || median <= 0) return result;
  for (size_t r = 0; r < result.size(); ++r) {
    result[r] = {*seconds[r] / median, absl::Seconds(*seconds[r] - median)};
  }
  return result;
}

std::vector<double> Ratios(const std::vector<std::optional<double>>& seconds) {
  WorkTable table;
  for (size_t r = 0; r < seconds.size(); ++r) {
    if (seconds[r].has_value()) table.Set(r, *seconds[r]);
  }
  std::vector<double> ratios;
  for (size_t r = 0; r < seconds.size(); ++r) {
    ratios.push_back(table.Compare(r, seconds.size()).ratio);
  }
  return ratios;
}

TEST(SlowRanksTest, ComparesWithTheLowerMedianSoThatOneOfTwoCanBeNamed) {
  EXPECT_EQ(Ratios({3.0, 1.0}), (std::vector<double>{3, 1}));
  EXPECT_EQ(Ratios({1.0, 2.0, 4.0, 8.0}), (std::vector<double>{0.5, 1, 2, 4}));
  WorkTable table;
  table.Set(0, 3);
  table.Set(1, 1);
  EXPECT_EQ(table.Compare(0, 2).excess, absl::Seconds(2));
}

TEST(SlowRanksTest, JudgesNobodyAloneOrBeforeEveryRankHasAFigure) {
  EXPECT_EQ(Ratios({3.0}), std::vector<double>(1));
  EXPECT_EQ(Ratios({3.0, 1.0, std::nullopt}), std::vector<double>(3));
  EXPECT_EQ(Ratios({3.0, std::nullopt, 1.0}), std::vector<double>(3));
  EXPECT_EQ(Ratios({0.0, 0.0, 1.0}), std::vector<double>(3));
}

TEST(SlowRanksTest, FiguresThatChangeOneByOneCompareAsAllAtOnce) {
  std::mt19937 random(7);
  for (const size_t ranks : {1, 2, 3, 4, 5, 8, 33}) {
    WorkTable table;
    std::vector<std::optional<double>> seconds(ranks);
    for (int report = 0; report < 400; ++report) {
      // Few values, so that many are equal.
      const size_t rank = random() % ranks;
      seconds[rank] = static_cast<double>(random() % 6) * 0.25;
      table.Set(rank, *seconds[rank]);
      const std::vector<WorkRatio> wanted = CompareAll(seconds);
      for (size_t r = 0; r < ranks; ++r) {
        const WorkRatio found = table.Compare(r, ranks);
        ASSERT_EQ(found.ratio, wanted[r].ratio) << ranks << " ranks, report " << report;
        ASSERT_EQ(found.excess, wanted[r].excess) << ranks << " ranks, report " << report;
      }
    }
  }
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
