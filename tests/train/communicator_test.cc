// One suite for every communicator that needs no GPU: a world of one, and Gloo among threads of one
// process, as ranks of one node would use it.
#include "worker/jepa/dist/communicator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <functional>
#include <future>
#include <thread>
#include <vector>

#include "tests/fakes/rank_threads.h"
#include "worker/jepa/plan/flat_ranges.h"

namespace jepa {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;

constexpr absl::Duration kTimeout = absl::Seconds(20);

class CommunicatorTest : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Worlds, CommunicatorTest, ::testing::Values(1, 2, 3, 4));

TEST_P(CommunicatorTest, AllReduceSumsEveryLength) {
  RunRanks(GetParam(), kTimeout, [](Communicator& peers) {
    const int world = peers.world_size();
    for (const int64_t count : {1, 2, 3, 1000, 300007}) {
      std::vector<float> data(static_cast<size_t>(count), static_cast<float>(peers.rank() + 1));
      ASSERT_TRUE(peers.AllReduceSum(data.data(), count).ok());
      EXPECT_THAT(data, Each(static_cast<float>(world * (world + 1) / 2)));
    }
  });
}

TEST_P(CommunicatorTest, PassesABufferOverTheLinksThatAreNamedAndTouchesNoOther) {
  RunRanks(GetParam(), kTimeout, [](Communicator& peers) {
    const int world = peers.world_size();
    const int rank = peers.rank();
    for (const int64_t count : {1, 300007}) {
      for (int to = 1; to < world; ++to) {  // One link at a time, the others stand by.
        std::vector<float> data(static_cast<size_t>(count), static_cast<float>(rank));
        const bool on_link = rank == to || rank == to - 1;
        ASSERT_TRUE(
            peers.Pass(data.data(), count, on_link ? to - 1 : rank, on_link ? to : rank).ok());
        EXPECT_THAT(data, Each(static_cast<float>(rank == to ? to - 1 : rank)));
      }
      // All pairs at once.
      std::vector<float> data(static_cast<size_t>(count), static_cast<float>(rank));
      const int from = rank / 2 * 2;
      const int to = std::min(from + 1, world - 1);
      ASSERT_TRUE(peers.Pass(data.data(), count, from, to).ok());
      EXPECT_THAT(data, Each(static_cast<float>(from)));
    }
  });
}

TEST_P(CommunicatorTest, AllReduceGivesTheSameBitsOnEveryRankAndInEveryRun) {
  const int64_t count = 300007;
  std::vector<std::vector<float>> results(static_cast<size_t>(2 * GetParam()));
  for (int run = 0; run < 2; ++run) {
    RunRanks(GetParam(), kTimeout, [&](Communicator& peers) {
      std::vector<float> data = RoughValues(peers.rank(), count);
      ASSERT_TRUE(peers.AllReduceSum(data.data(), count).ok());
      results[static_cast<size_t>(run * GetParam() + peers.rank())] = std::move(data);
    });
  }
  for (const std::vector<float>& result : results) {
    ASSERT_EQ(result.size(), results[0].size());
    EXPECT_EQ(std::memcmp(result.data(), results[0].data(), result.size() * sizeof(float)), 0);
  }
}

// Lengths that divide into pieces evenly, unevenly, and into fewer pieces than there are ranks.
constexpr int64_t kLengths[] = {1, 31, 33, 96, 128, 1024, 1025, 100003};

TEST_P(CommunicatorTest, SumsInOrderOfRanksHoweverTheBufferIsCut) {
  RunRanks(GetParam(), kTimeout, [](Communicator& peers) {
    for (const int64_t count : kLengths) {
      const std::vector<float> expected = SumInOrderOfRanks(peers.world_size(), count);
      std::vector<float> whole = RoughValues(peers.rank(), count);
      ASSERT_TRUE(peers.AllReduceSum(whole.data(), count).ok());
      EXPECT_EQ(whole, expected) << count;
      std::vector<float> halves = RoughValues(peers.rank(), count);
      ASSERT_TRUE(peers.AllReduceSum(halves.data(), count / 2).ok());
      ASSERT_TRUE(peers.AllReduceSum(halves.data() + count / 2, count - count / 2).ok());
      EXPECT_EQ(halves, expected) << count;
    }
  });
}

TEST_P(CommunicatorTest, ReduceScatterSumsTheOwnPieceAndLeavesTheRest) {
  RunRanks(GetParam(), kTimeout, [](Communicator& peers) {
    for (const int64_t count : kLengths) {
      const FlatRange mine = PieceOf(count, peers.rank(), peers.world_size());
      std::vector<float> expected = RoughValues(peers.rank(), count);
      const std::vector<float> sum = SumInOrderOfRanks(peers.world_size(), count);
      std::copy(sum.begin() + mine.begin, sum.begin() + mine.end, expected.begin() + mine.begin);
      std::vector<float> data = RoughValues(peers.rank(), count);
      ASSERT_TRUE(peers.ReduceScatterSum(data.data(), count, Precision::kFp32).ok());
      EXPECT_EQ(data, expected) << count;
    }
  });
}

TEST_P(CommunicatorTest, ReduceScatterAndAllGatherAreAnAllReduce) {
  RunRanks(GetParam(), kTimeout, [](Communicator& peers) {
    for (const int64_t count : kLengths) {
      std::vector<float> data = RoughValues(peers.rank(), count);
      ASSERT_TRUE(peers.ReduceScatterSum(data.data(), count, Precision::kFp32).ok());
      ASSERT_TRUE(peers.AllGatherPieces(data.data(), count, Precision::kFp32).ok());
      EXPECT_EQ(data, SumInOrderOfRanks(peers.world_size(), count)) << count;
    }
  });
}

// Each addend is off by half a step of bf16 at most, 2^-8 of itself; the sum once more.
TEST_P(CommunicatorTest, Bf16WireRoundsEachAddendAndTheSumOnce) {
  const int64_t count = 10007;
  std::vector<std::vector<float>> results(static_cast<size_t>(GetParam()));
  RunRanks(GetParam(), kTimeout, [&](Communicator& peers) {
    std::vector<float> data = RoughValues(peers.rank(), count);
    ASSERT_TRUE(peers.ReduceScatterSum(data.data(), count, Precision::kBf16).ok());
    ASSERT_TRUE(peers.AllGatherPieces(data.data(), count, Precision::kBf16).ok());
    results[static_cast<size_t>(peers.rank())] = std::move(data);
  });
  const std::vector<float> exact = SumInOrderOfRanks(GetParam(), count);
  std::vector<float> magnitudes(exact.size(), 0.0f);
  for (int rank = 0; rank < GetParam(); ++rank) {
    const std::vector<float> addend = RoughValues(rank, count);
    for (size_t i = 0; i < exact.size(); ++i) magnitudes[i] += std::abs(addend[i]);
  }
  constexpr float kHalfStep = 1.0f / 256;
  bool rounded = false;
  for (size_t i = 0; i < exact.size(); ++i) {
    const float bound = kHalfStep * (magnitudes[i] * (1 + kHalfStep) + std::abs(exact[i]));
    ASSERT_NEAR(results[0][i], exact[i], bound) << i;
    rounded = rounded || results[0][i] != exact[i];
  }
  EXPECT_EQ(rounded, GetParam() > 1);
  for (const std::vector<float>& result : results) EXPECT_EQ(result, results[0]);
}

TEST_P(CommunicatorTest, NobodyLeavesABarrierBeforeAllHaveCome) {
  std::atomic<int> arrived = 0;
  const auto meet = [&](Communicator& peers) {
    for (int round = 1; round <= 20; ++round) {
      ++arrived;
      ASSERT_TRUE(peers.Barrier().ok());
      EXPECT_GE(arrived.load(), round * peers.world_size());
    }
  };
  RunRanks(GetParam(), kTimeout, meet);
}

TEST_P(CommunicatorTest, GathersInOrderOfRanks) {
  RunRanks(GetParam(), kTimeout, [](Communicator& peers) {
    const std::vector<float> mine = {static_cast<float>(peers.rank()), 0.5f};
    std::vector<float> all(2 * static_cast<size_t>(peers.world_size()), -1.0f);
    ASSERT_TRUE(peers.AllGather(mine.data(), 2, all.data()).ok());
    for (int rank = 0; rank < peers.world_size(); ++rank) {
      EXPECT_EQ(all[static_cast<size_t>(2 * rank)], static_cast<float>(rank));
      EXPECT_EQ(all[static_cast<size_t>(2 * rank + 1)], 0.5f);
    }
  });
}

TEST_P(CommunicatorTest, BroadcastGivesTheRootsValues) {
  const auto broadcast = [](Communicator& peers) {
    const int root = peers.world_size() - 1;
    std::vector<float> data(3, static_cast<float>(peers.rank()));
    ASSERT_TRUE(peers.Broadcast(data.data(), 3, root).ok());
    EXPECT_THAT(data, Each(static_cast<float>(root)));
    EXPECT_TRUE(peers.Barrier().ok());
  };
  RunRanks(GetParam(), kTimeout, broadcast);
}

struct Operation {
  const char* name;
  std::function<absl::Status(Communicator&, std::vector<float>&)> call;
};

constexpr int64_t kManyFloats = 1 << 20;

const Operation kOperations[] = {
    {"AllReduce", [](Communicator& peers,
                     std::vector<float>& data) { return peers.AllReduceSum(data.data(), 5000); }},
    {"ShortAllReduce", [](Communicator& peers,
                          std::vector<float>& data) { return peers.AllReduceSum(data.data(), 1); }},
    {"ReduceScatter",
     [](Communicator& peers, std::vector<float>& data) {
       return peers.ReduceScatterSum(data.data(), kManyFloats, Precision::kFp32);
     }},
    {"AllGatherPieces",
     [](Communicator& peers, std::vector<float>& data) {
       return peers.AllGatherPieces(data.data(), kManyFloats, Precision::kBf16);
     }},
    {"Broadcast",
     [](Communicator& peers, std::vector<float>& data) {
       return peers.Broadcast(data.data(), kManyFloats, /*root=*/1);
     }},
    {"AllGather",
     [](Communicator& peers, std::vector<float>& data) {
       return peers.AllGather(data.data(), 100, data.data() + 100);
     }},
    {"Barrier", [](Communicator& peers, std::vector<float>&) { return peers.Barrier(); }},
};

class CommunicatorFailureTest : public ::testing::TestWithParam<Operation> {};
INSTANTIATE_TEST_SUITE_P(Operations, CommunicatorFailureTest, ::testing::ValuesIn(kOperations),
                         [](const auto& param) { return std::string(param.param.name); });

TEST_P(CommunicatorFailureTest, VanishedPeerIsAnErrorAndStaysOne) {
  RunRanks(3, kTimeout, [](Communicator& peers) {
    ASSERT_TRUE(peers.Barrier().ok());
    if (peers.rank() == 1) return;  // Its connections close.
    std::vector<float> data(kManyFloats, 1.0f);
    const absl::Status first = GetParam().call(peers, data);
    EXPECT_EQ(first.code(), absl::StatusCode::kAborted) << first;
    EXPECT_EQ(peers.Barrier(), first);
  });
}

// The deadline is real, because Gloo's is; nothing is said about how long the call takes beyond it.
TEST_P(CommunicatorFailureTest, SilentPeerIsADeadlineAndNotAHang) {
  std::promise<void> others_are_done;
  std::atomic<int> done = 0;
  RunRanks(3, absl::Milliseconds(300), [&](Communicator& peers) {
    if (peers.rank() == 1) {
      others_are_done.get_future().wait();
      return;
    }
    std::vector<float> data(kManyFloats, 1.0f);
    const absl::Status status = GetParam().call(peers, data);
    // The one whose deadline comes first leaves, which the other may see before its own.
    EXPECT_THAT(status.code(),
                ::testing::AnyOf(absl::StatusCode::kDeadlineExceeded, absl::StatusCode::kAborted))
        << status;
    EXPECT_EQ(peers.Barrier(), status);
    if (++done == 2) others_are_done.set_value();
  });
}

TEST_P(CommunicatorFailureTest, AbortFromAnotherThreadEndsTheCallAndThePeersFindItGone) {
  std::promise<void> aborted;
  RunRanks(2, kTimeout, [&](Communicator& peers) {
    ASSERT_TRUE(peers.Barrier().ok());
    std::vector<float> data(kManyFloats, 1.0f);
    if (peers.rank() == 1) {
      aborted.get_future().wait();
      const absl::Status gone = GetParam().call(peers, data);
      EXPECT_EQ(gone.code(), absl::StatusCode::kAborted) << gone;
      return;
    }
    std::thread other([&] { peers.Abort(absl::CancelledError("enough")); });
    EXPECT_EQ(GetParam().call(peers, data), absl::CancelledError("enough"));
    EXPECT_EQ(peers.Barrier(), absl::CancelledError("enough"));
    other.join();
    aborted.set_value();
  });
}

TEST(CommunicatorAbortTest, AbortBeforeACallIsItsAnswerAndTheFirstReasonStays) {
  for (const int world : {1, 2}) {
    RunRanks(world, kTimeout, [](Communicator& peers) {
      ASSERT_TRUE(peers.Barrier().ok());  // Else a peer that still connects would miss this one.
      peers.Abort(absl::CancelledError("first"));
      peers.Abort(absl::InternalError("second"));
      float value = 1;
      EXPECT_EQ(peers.AllReduceSum(&value, 1), absl::CancelledError("first"));
    });
  }
}

TEST(CommunicatorMeetingTest, MissingPeerIsADeadline) {
  MemoryRendezvous rendezvous;
  TrainConfig config;
  config.world_size = 2;
  const auto communicator = NewCommunicator(config, rendezvous, absl::Milliseconds(200));
  EXPECT_EQ(communicator.status().code(), absl::StatusCode::kDeadlineExceeded)
      << communicator.status();
}

TEST(CommunicatorMeetingTest, AddressThatIsNotOursIsNamed) {
  MemoryRendezvous rendezvous;
  TrainConfig config;
  config.world_size = 2;
  config.host_address = "203.0.113.7";  // TEST-NET-3: never an address of this machine.
  const auto communicator = NewCommunicator(config, rendezvous, absl::Milliseconds(200));
  EXPECT_EQ(communicator.status().code(), absl::StatusCode::kAborted) << communicator.status();
  EXPECT_THAT(std::string(communicator.status().message()), ::testing::HasSubstr("203.0.113.7"));
}

}  // namespace
}  // namespace jepa
