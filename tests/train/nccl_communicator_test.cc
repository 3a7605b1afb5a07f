// Collectives left to a GPU: the host does not wait, the streams do. NCCL takes one rank per
// device, so one GPU tries the order of streams, two the sums and a peer that does not come.
#include "worker/jepa/dist/nccl_communicator.h"

#include <ATen/ATen.h>
#include <ATen/cuda/CUDAEvent.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <gtest/gtest.h>

#include <functional>
#include <future>
#include <memory>
#include <thread>
#include <vector>

#include "tests/fakes/memory_host.h"
#include "worker/jepa/gradient_exchange.h"

namespace jepa {
namespace {

#define SKIP_WITHOUT_GPUS(count)                    \
  if (!at::hasCUDA() || at::getNumGPUs() < (count)) \
  GTEST_SKIP() << "needs " << (count) << " CUDA devices"

constexpr absl::Duration kTimeout = absl::Seconds(60);
constexpr int64_t kCount = 100000;

// A rank on a GPU and a stream of its own.
struct GpuRank {
  Communicator& peers;
  at::TensorOptions floats;
};

// Runs `body` on `world` threads, each with its device.
void RunGpus(int world, absl::Duration timeout, const std::function<void(const GpuRank&)>& body) {
  MemoryRendezvous rendezvous;
  std::vector<std::thread> ranks;
  for (int rank = 0; rank < world; ++rank) {
    ranks.emplace_back([&, rank] {
      TrainConfig config;
      config.device = Device::kCuda;
      config.device_index = config.rank = rank;
      config.world_size = world;
      const auto index = static_cast<c10::DeviceIndex>(rank);
      const c10::cuda::CUDAStreamGuard guard(c10::cuda::getStreamFromPool(false, index));
      auto peers = NewNcclCommunicator(config, rendezvous, timeout);
      ASSERT_TRUE(peers.ok()) << peers.status();
      body({**peers, at::TensorOptions().dtype(at::kFloat).device(at::kCUDA, index)});
    });
  }
  for (std::thread& rank : ranks) rank.join();
}

// Tenths of a second of the current stream.
void GiveLongWork(const at::TensorOptions& options) {
  const at::Tensor a = at::ones({8192, 8192}, options);
  at::Tensor out = at::empty_like(a);
  for (int i = 0; i < 20; ++i) at::mm_out(out, a, a);
}

TEST(NcclCommunicatorTest, HostGoesOnWhileTheDeviceHasNotComeToTheCall) {
  SKIP_WITHOUT_GPUS(1);
  RunGpus(1, kTimeout, [](const GpuRank& rank) {
    at::Tensor data = at::ones({kCount}, rank.floats);
    ASSERT_TRUE(rank.peers.AllReduceSum(data.data_ptr<float>(), kCount).ok());  // Warm.
    GiveLongWork(rank.floats);
    data.fill_(3);
    at::cuda::CUDAEvent filled;
    filled.record();
    const auto point = rank.peers.MarkDevice();
    ASSERT_TRUE(point.ok()) << point.status();
    ASSERT_TRUE(rank.peers.StartAfter(point->get()).ok());
    ASSERT_TRUE(rank.peers.AllReduceSum(data.data_ptr<float>(), kCount).ok());
    ASSERT_TRUE(rank.peers.Join().ok());
    data.mul_(2);
    EXPECT_FALSE(filled.query());
    EXPECT_EQ(rank.peers.given(), 2);
    ASSERT_TRUE(rank.peers.Settle(rank.peers.given()).ok());
    EXPECT_TRUE(filled.query());
    EXPECT_TRUE(data.eq(6).all().item<bool>());
  });
}

TEST(NcclCommunicatorTest, AbortEndsWhatIsLeftToTheDevice) {
  SKIP_WITHOUT_GPUS(1);
  RunGpus(1, kTimeout, [](const GpuRank& rank) {
    at::Tensor data = at::ones({kCount}, rank.floats);
    ASSERT_TRUE(rank.peers.StartAfter(nullptr).ok());
    ASSERT_TRUE(rank.peers.AllReduceSum(data.data_ptr<float>(), kCount).ok());
    rank.peers.Abort(absl::CancelledError("enough"));
    EXPECT_EQ(rank.peers.Settle(rank.peers.given()), absl::CancelledError("enough"));
    EXPECT_EQ(rank.peers.Barrier(), absl::CancelledError("enough"));
    c10::cuda::getCurrentCUDAStream().synchronize();
  });
}

TEST(NcclCommunicatorTest, CallsOnHostMemoryAreWaitedFor) {
  SKIP_WITHOUT_GPUS(1);
  const int world = at::getNumGPUs() > 1 ? 2 : 1;
  RunGpus(world, kTimeout, [](const GpuRank& rank) {
    std::vector<float> data(kCount, 1.0f);
    ASSERT_TRUE(rank.peers.AllReduceSum(data.data(), kCount).ok());
    EXPECT_EQ(data, std::vector<float>(kCount, static_cast<float>(rank.peers.world_size())));
  });
}

TEST(NcclCommunicatorTest, ExchangeOnTwoDevicesSumsBesideAndAfterTheBackwardPass) {
  SKIP_WITHOUT_GPUS(2);
  const std::vector<FlatRange> buckets = {{0, 32000}, {32000, kCount}};
  for (const Precision wire : {Precision::kFp32, Precision::kBf16}) {
    for (const bool overlap : {true, false}) {
      RunGpus(2, kTimeout, [&](const GpuRank& rank) {
        GradientExchange exchange(rank.peers, buckets, {.wire = wire, .overlap = overlap});
        at::Tensor gradient = at::zeros({kCount + kStepScalars}, rank.floats);
        for (int step = 1; step <= 3; ++step) {
          exchange.Begin({gradient.data_ptr<float>(), gradient.numel()});
          GiveLongWork(rank.floats);
          gradient.fill_(step * (rank.peers.rank() + 1));
          exchange.Ready(40000);
          const absl::Status finished = exchange.Finish();
          ASSERT_TRUE(finished.ok()) << finished;
          const at::Tensor sums = gradient.clone();
          gradient.zero_();  // After the sums, before the next step's.
          ASSERT_TRUE(rank.peers.Settle(rank.peers.given()).ok());
          EXPECT_TRUE(sums.eq(3 * step).all().item<bool>());
        }
      });
    }
  }
}

TEST(NcclCommunicatorTest, SharedUpdateGathersOnTwoDevices) {
  SKIP_WITHOUT_GPUS(2);
  const std::vector<FlatRange> buckets = {{0, 32000}, {32000, kCount}};
  RunGpus(2, kTimeout, [&](const GpuRank& rank) {
    GradientExchange exchange(rank.peers, buckets, {.scatter = true});
    at::Tensor gradient = at::full({kCount + kStepScalars}, rank.peers.rank() + 1, rank.floats);
    exchange.Begin({gradient.data_ptr<float>(), gradient.numel()});
    ASSERT_TRUE(exchange.Finish().ok());
    ASSERT_TRUE(exchange.SumScalars().ok());
    ASSERT_TRUE(exchange.Gather(gradient.data_ptr<float>()).ok());
    ASSERT_TRUE(rank.peers.Settle(rank.peers.given()).ok());
    EXPECT_TRUE(gradient.eq(3).all().item<bool>());
  });
}

TEST(NcclCommunicatorTest, PeerThatDoesNotComeIsADeadlineAndTheStreamIsFreeAgain) {
  SKIP_WITHOUT_GPUS(2);
  std::promise<void> other_is_done;
  RunGpus(2, absl::Seconds(5), [&](const GpuRank& rank) {
    at::Tensor data = at::ones({kCount}, rank.floats);
    ASSERT_TRUE(rank.peers.AllReduceSum(data.data_ptr<float>(), kCount).ok());  // Connects.
    if (rank.peers.rank() == 1) {
      other_is_done.get_future().wait();
      return;
    }
    ASSERT_TRUE(rank.peers.StartAfter(nullptr).ok());
    ASSERT_TRUE(rank.peers.AllReduceSum(data.data_ptr<float>(), kCount).ok());
    ASSERT_TRUE(rank.peers.Join().ok());
    const absl::Status settled = rank.peers.Settle(rank.peers.given());
    EXPECT_EQ(settled.code(), absl::StatusCode::kDeadlineExceeded) << settled;
    c10::cuda::getCurrentCUDAStream().synchronize();
    other_is_done.set_value();
  });
}

}  // namespace
}  // namespace jepa
