// Generators against published answers, and the laws of what is drawn from them.
#include "worker/jepa/plan/random.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <random>
#include <set>
#include <vector>

#include "worker/jepa/plan/torch_generator.h"

namespace jepa {
namespace {

using Counter = std::array<uint32_t, 4>;
using Key = std::array<uint32_t, 2>;

// Known answers of the Random123 library, philox4x32 10.
TEST(PhiloxTest, EqualsThePublishedAnswers) {
  EXPECT_EQ(PhiloxBlock({0, 0, 0, 0}, {0, 0}),
            (Counter{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(PhiloxBlock({~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}),
            (Counter{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(
      PhiloxBlock({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, Key{0xa4093822, 0x299f31d0}),
      (Counter{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(PhiloxTest, KeepsItsStreamsForEver) {
  Philox random(7, Purpose::kCrop, 3, 11);
  const std::vector<uint32_t> got = {random.Next(), random.Next(), random.Next(), random.Next(),
                                     random.Next()};
  EXPECT_EQ(got, (std::vector<uint32_t>{686245288, 2487499261, 194204690, 2555479584, 1455660873}));
}

TEST(PhiloxTest, GivesEveryKeyItsOwnStream) {
  std::set<std::vector<uint32_t>> seen;
  int streams = 0;
  const auto add = [&](uint64_t seed, Purpose purpose, uint64_t a, uint64_t b) {
    Philox random(seed, purpose, a, b);
    seen.insert({random.Next(), random.Next(), random.Next(), random.Next()});
    ++streams;
  };
  for (uint64_t i = 0; i < 20; ++i) {
    add(i + 1, Purpose::kMask, 0, 0);
    add((i + 1) << 32, Purpose::kMask, 0, 0);
    add(0, Purpose::kMask, i + 1, 0);
    add(0, Purpose::kMask, (i + 1) << 32, 0);
    add(0, Purpose::kMask, 0, i + 1);
    add(0, Purpose::kMask, 0, (i + 1) << 32);
    add(0, Purpose::kOrder, 0, i);
  }
  EXPECT_EQ(seen.size(), static_cast<size_t>(streams));
}

TEST(PhiloxTest, DrawsUniformNumbersBelowTheBound) {
  Philox random(1, Purpose::kProbe, 0, 0);
  constexpr int kDraws = 70'000;
  std::vector<int> counts(7);
  for (int i = 0; i < kDraws; ++i) ++counts.at(random.Below(7));
  // 10,000 expected, standard deviation 93.
  for (const int count : counts) EXPECT_NEAR(count, 10'000, 500);
  EXPECT_EQ(random.Below(1), 0u);
  double sum = 0;
  for (int i = 0; i < kDraws; ++i) {
    const double value = random.Uniform();
    ASSERT_GE(value, 0);
    ASSERT_LT(value, 1);
    sum += value;
  }
  EXPECT_NEAR(sum / kDraws, 0.5, 0.01);
}

TEST(PhiloxTest, DrawsNormalNumbers) {
  Philox random(2, Purpose::kInit, 0, 0);
  constexpr int kDraws = 100'000;
  double sum = 0;
  double squares = 0;
  for (int i = 0; i < kDraws; ++i) {
    const double value = random.Normal();
    ASSERT_TRUE(std::isfinite(value));
    sum += value;
    squares += value * value;
  }
  EXPECT_NEAR(sum / kDraws, 0, 0.02);
  EXPECT_NEAR(squares / kDraws, 1, 0.03);
}

TEST(TorchGeneratorTest, IsTheStandardMersenneTwister) {
  for (const uint32_t seed : {0u, 1u, 5489u, ~0u}) {
    std::mt19937 standard(seed);
    TorchGenerator generator(seed);
    for (int i = 0; i < 2000; ++i) ASSERT_EQ(generator.Next(), standard()) << seed << " " << i;
  }
}

TEST(TorchGeneratorTest, ContinuesFromItsState) {
  TorchGenerator generator(3);
  for (int i = 0; i < 1000; ++i) generator.Next();
  absl::StatusOr<TorchGenerator> restored = TorchGenerator::FromState(generator.State());
  ASSERT_TRUE(restored.ok()) << restored.status();
  for (int i = 0; i < 1000; ++i) ASSERT_EQ(restored->Next(), generator.Next());
}

TEST(TorchGeneratorTest, RefusesAStrangeState) {
  std::string state = TorchGenerator(3).State();
  EXPECT_TRUE(absl::IsDataLoss(TorchGenerator::FromState("").status()));
  EXPECT_TRUE(absl::IsDataLoss(TorchGenerator::FromState(state.substr(1)).status()));
  state[3] = '\x7f';
  EXPECT_TRUE(absl::IsDataLoss(TorchGenerator::FromState(state).status()));
}

}  // namespace
}  // namespace jepa
