// Gloo among threads of one process, as ranks of one node would use it.
#include "worker/jepa/dist/communicator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <future>
#include <thread>
#include <vector>

#include "tests/fakes/memory_host.h"

namespace jepa {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;

constexpr absl::Duration kTimeout = absl::Seconds(20);

// Runs `body(communicator)` on `world` threads that meet over loopback.
void RunRanks(int world, absl::Duration timeout, const std::function<void(Communicator&)>& body) {
  MemoryRendezvous rendezvous;
  std::vector<std::thread> ranks;
  for (int rank = 0; rank < world; ++rank) {
    ranks.emplace_back([&, rank] {
      TrainConfig config;
      config.rank = rank;
      config.world_size = world;
      auto communicator = NewCommunicator(config, rendezvous, timeout);
      ASSERT_TRUE(communicator.ok()) << communicator.status();
      EXPECT_EQ((*communicator)->rank(), rank);
      EXPECT_EQ((*communicator)->world_size(), world);
      body(**communicator);
    });
  }
  for (std::thread& rank : ranks) rank.join();
}

// Values whose sum depends on the order of additions.
std::vector<float> RoughValues(int rank, int64_t count) {
  std::vector<float> values(static_cast<size_t>(count));
  uint32_t state = 12345u + static_cast<uint32_t>(rank) * 7919u;
  for (float& value : values) {
    state = state * 1664525u + 1013904223u;
    value = static_cast<float>(static_cast<int32_t>(state)) * 1e-7f;
  }
  return values;
}

class CommunicatorTest : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Worlds, CommunicatorTest, ::testing::Values(1, 2, 3, 4));

TEST_P(CommunicatorTest, AllReduceSumsEveryLength) {
  RunRanks(GetParam(), kTimeout, [](Communicator& peers) {
    const int world = peers.world_size();
    for (const int64_t count : {1, 2, 3, 1000, 1000003}) {
      std::vector<float> data(static_cast<size_t>(count), static_cast<float>(peers.rank() + 1));
      ASSERT_TRUE(peers.AllReduceSum(data.data(), count).ok());
      EXPECT_THAT(data, Each(static_cast<float>(world * (world + 1) / 2)));
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
  RunRanks(GetParam(), kTimeout, [](Communicator& peers) {
    const int root = peers.world_size() - 1;
    std::vector<float> data(3, static_cast<float>(peers.rank()));
    ASSERT_TRUE(peers.Broadcast(data.data(), 3, root).ok());
    EXPECT_THAT(data, Each(static_cast<float>(root)));
    EXPECT_TRUE(peers.Barrier().ok());
  });
}

TEST(CommunicatorFailureTest, VanishedPeerIsAnErrorAndStaysOne) {
  RunRanks(2, kTimeout, [](Communicator& peers) {
    ASSERT_TRUE(peers.Barrier().ok());
    if (peers.rank() == 1) return;  // Its connections close.
    std::vector<float> data(1 << 20, 1.0f);
    const absl::Status first = peers.AllReduceSum(data.data(), 1 << 20);
    EXPECT_EQ(first.code(), absl::StatusCode::kAborted) << first;
    EXPECT_EQ(peers.Barrier(), first);
  });
}

TEST(CommunicatorFailureTest, SilentPeerIsADeadlineAndNotAHang) {
  std::promise<void> other_is_done;
  RunRanks(2, absl::Milliseconds(300), [&](Communicator& peers) {
    if (peers.rank() == 1) {
      other_is_done.get_future().wait();
      return;
    }
    float value = 1;
    const absl::Status status = peers.AllReduceSum(&value, 1);
    EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded) << status;
    other_is_done.set_value();
  });
}

TEST(CommunicatorFailureTest, MissingPeerIsADeadline) {
  MemoryRendezvous rendezvous;
  TrainConfig config;
  config.world_size = 2;
  const auto communicator = NewCommunicator(config, rendezvous, absl::Milliseconds(200));
  EXPECT_EQ(communicator.status().code(), absl::StatusCode::kDeadlineExceeded)
      << communicator.status();
}

TEST(CommunicatorFailureTest, AddressThatIsNotOursIsNamed) {
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
