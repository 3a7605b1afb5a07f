// Sums beside a backward pass: the same bits as sums after it, and a clean end when a peer dies.
#include "worker/jepa/gradient_exchange.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>
#include <thread>
#include <vector>

#include "tests/fakes/rank_threads.h"
#include "worker/jepa/plan/flat_ranges.h"

namespace jepa {
namespace {

constexpr absl::Duration kTimeout = absl::Seconds(20);
constexpr int64_t kCount = 5000;  // Without the scalars.

const std::vector<FlatRange>& Buckets() {
  static const auto* buckets = new std::vector<FlatRange>{{0, 96}, {96, 2000}, {2000, kCount}};
  return *buckets;
}

// A rank's gradient with its scalars, 1, 2, ... times (rank + 1).
std::vector<float> GradientOf(int rank) {
  std::vector<float> gradient = RoughValues(rank, kCount);
  for (int i = 1; i <= kStepScalars; ++i) gradient.push_back(static_cast<float>(i * (rank + 1)));
  return gradient;
}

FloatBuffer BufferOf(std::vector<float>& values) {
  return {values.data(), static_cast<int64_t>(values.size())};
}

// What every rank has after two steps, told of parts of the gradient while another thread makes it.
std::vector<std::vector<float>> Exchange(int world, const ExchangeOptions& options) {
  std::vector<std::vector<float>> results(static_cast<size_t>(world));
  RunRanks(world, kTimeout, [&](Communicator& peers) {
    GradientExchange exchange(peers, Buckets(), options);
    std::vector<float> gradient;
    for (int step = 0; step < 2; ++step) {
      gradient.assign(GradientOf(0).size(), -1.0f);
      exchange.Begin(BufferOf(gradient));
      const std::vector<float> final = GradientOf(peers.rank());
      std::thread backward([&] {
        int64_t filled = 0;
        for (const int64_t ready : {int64_t{50}, int64_t{97}, int64_t{1999}, int64_t{2000}}) {
          std::copy(final.begin() + filled, final.begin() + ready, gradient.begin() + filled);
          filled = ready;
          exchange.Ready(ready);
        }
      });
      backward.join();
      std::copy(final.begin() + 2000, final.end(), gradient.begin() + 2000);
      const absl::Status finished = exchange.Finish();
      ASSERT_TRUE(finished.ok()) << finished;
    }
    results[static_cast<size_t>(peers.rank())] = gradient;
  });
  return results;
}

TEST(GradientExchangeTest, OverlapGivesTheBitsOfSumsAfterwardsOnEveryRank) {
  for (const int world : {1, 2, 3}) {
    for (const Precision wire : {Precision::kFp32, Precision::kBf16}) {
      const auto beside = Exchange(world, {.wire = wire, .overlap = true});
      const auto after = Exchange(world, {.wire = wire, .overlap = false});
      for (const std::vector<float>& result : beside) EXPECT_EQ(result, beside[0]);
      EXPECT_EQ(beside, after);
      const std::vector<float> exact = SumInOrderOfRanks(world, kCount);
      const std::vector<float> sum(beside[0].begin(), beside[0].begin() + kCount);
      EXPECT_EQ(sum == exact, wire == Precision::kFp32 || world == 1);
    }
  }
}

TEST(GradientExchangeTest, ScalarsAreSummedInFp32) {
  for (const Precision wire : {Precision::kFp32, Precision::kBf16}) {
    const auto results = Exchange(3, {.wire = wire});
    for (const std::vector<float>& result : results) {
      for (int i = 1; i <= kStepScalars; ++i) {
        EXPECT_EQ(result[static_cast<size_t>(kCount + i - 1)], static_cast<float>(6 * i));
      }
    }
  }
}

TEST(GradientExchangeTest, ScatterSumsTheOwnedRangesAndLeavesTheRest) {
  const int world = 3;
  const std::vector<float> exact = SumInOrderOfRanks(world, kCount);
  const auto results = Exchange(world, {.scatter = true});
  for (int rank = 0; rank < world; ++rank) {
    std::vector<float> expected = GradientOf(rank);
    for (const FlatRange& owned : OwnedRanges(Buckets(), rank, world)) {
      std::copy(exact.begin() + owned.begin, exact.begin() + owned.end,
                expected.begin() + owned.begin);
    }
    EXPECT_EQ(results[static_cast<size_t>(rank)], expected) << rank;
  }
}

// Sums by doubling, as in a world of two equal ranks, and says when it has.
class DoublingPeers : public Communicator {
 public:
  int rank() const override { return 0; }
  int world_size() const override { return 2; }
  absl::Status AllReduceSum(float* data, int64_t count) override {
    for (int64_t i = 0; i < count; ++i) data[i] *= 2;
    if (++calls == 2) two_calls.set_value();
    return absl::OkStatus();
  }
  absl::Status ReduceScatterSum(float*, int64_t, Precision) override { return absl::OkStatus(); }
  absl::Status AllGatherPieces(float*, int64_t, Precision) override { return absl::OkStatus(); }
  absl::Status Broadcast(float*, int64_t, int) override { return absl::OkStatus(); }
  absl::Status AllGather(const float*, int64_t, float*) override { return absl::OkStatus(); }
  absl::Status Pass(float*, int64_t, int, int) override {
    return absl::UnimplementedError("not for gradients");
  }
  absl::Status Barrier() override { return absl::OkStatus(); }
  void Abort(const absl::Status&) override {}

  std::promise<void> two_calls;
  int calls = 0;  // By one thread at a time.
};

TEST(GradientExchangeTest, SumsWhatIsFinalBeforeTheRestIs) {
  DoublingPeers peers;
  std::vector<float> gradient(kCount + kStepScalars, 1.0f);
  {
    GradientExchange exchange(peers, Buckets(), {});
    exchange.Begin(BufferOf(gradient));
    exchange.Ready(2000);
    peers.two_calls.get_future().wait();  // Without Finish.
    gradient[2000] = 5;                   // Not final yet.
    ASSERT_TRUE(exchange.Finish().ok());
  }
  EXPECT_EQ(peers.calls, 3);
  EXPECT_EQ(gradient[0], 2);
  EXPECT_EQ(gradient[1999], 2);
  EXPECT_EQ(gradient[2000], 10);
  EXPECT_EQ(gradient.back(), 2);
}

TEST(GradientExchangeTest, PeerThatDiesInTheMiddleOfAStepEndsItWithAnError) {
  RunRanks(3, kTimeout, [](Communicator& peers) {
    ASSERT_TRUE(peers.Barrier().ok());
    std::vector<float> gradient = GradientOf(peers.rank());
    GradientExchange exchange(peers, Buckets(), {});
    exchange.Begin(BufferOf(gradient));
    exchange.Ready(2000);
    if (peers.rank() == 1) return;  // The destructors are its death.
    const absl::Status finished = exchange.Finish();
    EXPECT_EQ(finished.code(), absl::StatusCode::kAborted) << finished;
    EXPECT_EQ(exchange.Finish(), finished);
    EXPECT_EQ(peers.Barrier(), finished);
  });
}

}  // namespace
}  // namespace jepa
