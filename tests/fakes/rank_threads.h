// Ranks as threads of one process that meet over loopback.
#ifndef IJEPA_TESTS_FAKES_RANK_THREADS_H_
#define IJEPA_TESTS_FAKES_RANK_THREADS_H_

#include <gtest/gtest.h>

#include <csignal>
#include <functional>
#include <thread>
#include <vector>

#include "tests/fakes/memory_host.h"
#include "worker/jepa/dist/communicator.h"

namespace jepa {

// Runs `body(communicator)` on `world` threads; returns when all are done.
inline void RunRanks(int world, absl::Duration timeout,
                     const std::function<void(Communicator&)>& body) {
  signal(SIGPIPE, SIG_IGN);  // As a rank's main does.
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
inline std::vector<float> RoughValues(int rank, int64_t count) {
  std::vector<float> values(static_cast<size_t>(count));
  uint32_t state = 12345u + static_cast<uint32_t>(rank) * 7919u;
  for (float& value : values) {
    state = state * 1664525u + 1013904223u;
    value = static_cast<float>(static_cast<int32_t>(state)) * 1e-7f;
  }
  return values;
}

// What sums are defined as: each element in the order of ranks.
inline std::vector<float> SumInOrderOfRanks(int world, int64_t count) {
  std::vector<float> sum = RoughValues(0, count);
  for (int rank = 1; rank < world; ++rank) {
    const std::vector<float> addend = RoughValues(rank, count);
    for (size_t i = 0; i < sum.size(); ++i) sum[i] += addend[i];
  }
  return sum;
}

}  // namespace jepa

#endif  // IJEPA_TESTS_FAKES_RANK_THREADS_H_
