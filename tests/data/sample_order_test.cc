// The keyed order and who takes which sample.
#include "worker/jepa/data/sample_order.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <set>

#include "worker/jepa/data/sample_view.h"

namespace jepa {
namespace {

TEST(SampleOrderTest, IsAPermutationForEveryLength) {
  for (int64_t n = 1; n <= 2000; ++n) {
    std::vector<bool> seen(static_cast<size_t>(n));
    for (int64_t i = 0; i < n; ++i) {
      const int64_t index = SampleAt(7, n % 5, i, n);
      ASSERT_GE(index, 0);
      ASSERT_LT(index, n);
      ASSERT_FALSE(seen[index]) << "n " << n << " position " << i;
      seen[index] = true;
    }
  }
}

TEST(SampleOrderTest, ReferenceIsAPermutationThatDependsOnTheEpochAlone) {
  constexpr int64_t kImages = 1000;
  const SampleOrder order(OrderMode::kReference, 1, kImages);
  const SampleOrder other_seed(OrderMode::kReference, 2, kImages);
  std::vector<std::vector<int64_t>> epochs;
  for (const int64_t epoch : {0, 1, 2, 0}) {
    std::vector<int64_t> indices;
    for (int64_t i = 0; i < kImages; ++i) {
      indices.push_back(order.At(epoch, i));
      EXPECT_EQ(other_seed.At(epoch, i), indices.back());
    }
    EXPECT_EQ(order.At(epoch, kImages), indices[0]);
    EXPECT_EQ(std::set<int64_t>(indices.begin(), indices.end()).size(), size_t{kImages});
    epochs.push_back(indices);
  }
  EXPECT_NE(epochs[0], epochs[1]);
  EXPECT_NE(epochs[0], epochs[2]);
  EXPECT_EQ(epochs[0], epochs[3]);
}

TEST(SampleOrderTest, IsAPermutationOfLargeLengths) {
  for (int64_t n : {(1 << 17) - 1, 1 << 17, (1 << 17) + 1}) {
    std::vector<bool> seen(static_cast<size_t>(n));
    for (int64_t i = 0; i < n; ++i) seen[SampleAt(1, 0, i, n)] = true;
    EXPECT_TRUE(std::all_of(seen.begin(), seen.end(), [](bool was) { return was; })) << n;
  }
}

TEST(SampleOrderTest, StaysInsideHugeLengths) {
  for (int64_t n : {int64_t{14'000'000}, int64_t{1} << 40, (int64_t{1} << 62) - 57}) {
    std::set<int64_t> seen;
    for (int64_t i = 0; i < 2000; ++i) {
      const int64_t index = SampleAt(3, 9, n - 1 - i, n);
      ASSERT_GE(index, 0);
      ASSERT_LT(index, n);
      seen.insert(index);
    }
    EXPECT_EQ(seen.size(), 2000u);
  }
}

TEST(SampleOrderTest, DependsOnSeedAndEpoch) {
  const auto order = [](uint64_t seed, int64_t epoch) {
    std::vector<int64_t> result;
    for (int64_t i = 0; i < 100; ++i) result.push_back(SampleAt(seed, epoch, i, 100));
    return result;
  };
  EXPECT_EQ(order(1, 0), order(1, 0));
  EXPECT_NE(order(1, 0), order(2, 0));
  EXPECT_NE(order(1, 0), order(1, 1));
}

// Every place of the order is filled by every image equally often, over many epochs.
TEST(SampleOrderTest, IsUniformOverEpochs) {
  for (int64_t n : {2, 3, 10, 37}) {
    constexpr int kEpochs = 4000;
    for (int64_t position : {int64_t{0}, n / 2, n - 1}) {
      std::vector<int> counts(static_cast<size_t>(n));
      for (int epoch = 0; epoch < kEpochs; ++epoch) ++counts[SampleAt(11, epoch, position, n)];
      const double expected = static_cast<double>(kEpochs) / static_cast<double>(n);
      double chi_square = 0;
      for (int count : counts) chi_square += (count - expected) * (count - expected) / expected;
      // Five standard deviations above the mean of the chi-square law.
      const double freedom = static_cast<double>(n - 1);
      EXPECT_LT(chi_square, freedom + 5 * std::sqrt(2 * freedom) + 5) << n << " " << position;
    }
  }
}

// Neighbours in the order are no neighbours in the data: half of the steps go up.
TEST(SampleOrderTest, LeavesNoTrend) {
  constexpr int64_t kImages = 20'000;
  int ups = 0;
  for (int64_t i = 0; i + 1 < kImages; ++i) {
    ups += SampleAt(5, 0, i, kImages) < SampleAt(5, 0, i + 1, kImages) ? 1 : 0;
  }
  EXPECT_NEAR(ups, kImages / 2, 5 * std::sqrt(kImages / 12.0));
}

TEST(SamplePlanTest, DealsAnEpochToShardsAsADistributedSampler) {
  const SamplePlan plan{3, 2, 4};
  std::vector<int64_t> taken;
  for (int64_t step = 4; step < 8; ++step) {
    for (int shard = 0; shard < 3; ++shard) {
      for (int image = 0; image < 2; ++image) {
        const Sample sample = plan.At(step, shard, image);
        EXPECT_EQ(sample.epoch, 1);
        EXPECT_EQ(sample.k % 3, shard);
        EXPECT_EQ(sample.k / 3, (step - 4) * 2 + image);
        taken.push_back(sample.k);
      }
    }
  }
  std::sort(taken.begin(), taken.end());
  std::vector<int64_t> all(24);
  std::iota(all.begin(), all.end(), 0);
  EXPECT_EQ(taken, all);
}

TEST(SampleOrderTest, RefusesMoreImagesThanTheReferenceOrders) {
  EXPECT_TRUE(CheckOrder(OrderMode::kReference, 214'748'364).ok());
  EXPECT_TRUE(CheckOrder(OrderMode::kKeyed, int64_t{1} << 40).ok());
  const absl::Status refused = CheckOrder(OrderMode::kReference, 214'748'365);
  EXPECT_TRUE(absl::IsInvalidArgument(refused));
  EXPECT_THAT(std::string(refused.message()),
              ::testing::AllOf(::testing::HasSubstr("214748364"), ::testing::HasSubstr("214748365"),
                               ::testing::HasSubstr("data.rng")));
}

}  // namespace
}  // namespace jepa
