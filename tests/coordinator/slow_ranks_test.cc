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

std::vector<bool> Named(const std::vector<std::optional<double>>& seconds,
                        const std::vector<bool>& was_slow) {
  std::vector<bool> named;
  for (const WorkRatio& ratio : JudgeWork(seconds, was_slow, kLimits)) named.push_back(ratio.slow);
  return named;
}

TEST(SlowRanksTest, NamesAboveOnePointTwoAndClearsBelowOnePointOne) {
  using Flags = std::vector<bool>;
  EXPECT_EQ(Named({1.0, 1.19, 1.0, 1.0}, Flags(4)), Flags(4));
  EXPECT_EQ(Named({1.0, 1.21, 1.0, 1.0}, Flags(4)), (Flags{false, true, false, false}));
  EXPECT_EQ(Named({1.0, 1.15, 1.0, 1.0}, {false, true, false, false}),
            (Flags{false, true, false, false}))
      << "hysteresis";
  EXPECT_EQ(Named({1.0, 1.09, 1.0, 1.0}, {false, true, false, false}), Flags(4));
}

TEST(SlowRanksTest, NamesOneOfTwoAndNobodyAlone) {
  EXPECT_EQ(Named({3.0, 1.0}, {false, false}), (std::vector<bool>{true, false}));
  EXPECT_EQ(Named({3.0}, {false}), (std::vector<bool>{false}));
}

TEST(SlowRanksTest, WaitsUntilEveryRankHasAFigure) {
  EXPECT_EQ(Named({3.0, 1.0, std::nullopt}, {false, false, false}), std::vector<bool>(3));
}

}  // namespace
}  // namespace ijepa::coordinator
