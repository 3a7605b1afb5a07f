// A learner's step on a GPU against the same step on the CPU, bf16 against fp32, and a captured
// graph against the same step without one. The small model is wide enough to use every kernel.
#include <ATen/ATen.h>
#include <ATen/core/CachingHostAllocator.h>
#include <c10/cuda/CUDAFunctions.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <barrier>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/train/model/learner_calls.h"
#include "tests/train/model/learner_fixture.h"
#include "worker/jepa/host_state.h"
#include "worker/jepa/model/attention.h"
#include "worker/jepa/model/learner.h"
#include "worker/jepa/model/networks.h"
#include "worker/jepa/model/patches.h"
#include "worker/jepa/model/shard_pass.h"
#include "worker/jepa/plan/flat_ranges.h"

namespace jepa {
namespace {

#define SKIP_WITHOUT_GPU() \
  if (!at::hasCUDA()) GTEST_SKIP() << "no CUDA device is visible"

TrainConfig Config(Device device, Precision precision, CudaGraphs graphs) {
  TrainConfig config = testing::SmallConfig();
  config.device = device;
  config.precision = precision;
  config.cuda_graphs = graphs;
  return config;
}

struct Trace {
  std::vector<double> losses;
  std::vector<double> norms;
  std::vector<float> params;
};

// A state in memory as Restore reads it.
class HostReader : public TensorReader {
 public:
  explicit HostReader(const HostState& state) : state_(state) {}
  absl::Status Read(const std::string& name, TensorType, const std::vector<int64_t>&,
                    void* out) const override {
    for (const TensorToSave& tensor : state_.tensors) {
      if (tensor.name != name) continue;
      std::memcpy(out, tensor.data, static_cast<size_t>(BytesOf(tensor)));
      return absl::OkStatus();
    }
    return absl::NotFoundError(name);
  }

 private:
  const HostState& state_;
};

void Take(Learner& learner, Trace& trace) {
  const auto result = learner.TakeResult();
  EXPECT_TRUE(result.ok()) << result.status();
  trace.losses.push_back(result.value_or(StepResult()).scalar(StepScalar::kLoss));
  trace.norms.push_back(result.value_or(StepResult()).gradient_norm);
}

constexpr int kShapes = 2;

// Masks of a step's own, of shapes that come by turns.
MaskBatch MasksOf(int step) {
  return step % kShapes == 0 ? testing::SeededMasks(3, static_cast<uint64_t>(step))
                             : testing::SeededMasks(3, static_cast<uint64_t>(step), 7, 4);
}

// Steps of which none repeats images or masks. With graphs each shape is captured when it comes for
// the third time, and replayed for other masks from then on.
constexpr int kSteps = 5 * kShapes;
Trace Train(const TrainConfig& config, int steps = kSteps) {
  Trace trace;
  const auto learner = Learner::Create(config);
  EXPECT_TRUE(learner.ok()) << learner.status();
  for (int step = 0; step < steps; ++step) {
    const Batch batch = testing::RandomBatch(config, 3, static_cast<uint64_t>(step));
    const absl::Status added = (*learner)->AccumulateShard(batch, MasksOf(step), {});
    EXPECT_TRUE(added.ok()) << added;
    const absl::Status updated =
        (*learner)->Update({.lr = 1e-3, .weight_decay = 0.05, .ema_momentum = 0.99});
    EXPECT_TRUE(updated.ok()) << updated;
    // As the loop: the device is a step ahead of the results.
    if (step >= (*learner)->results_left()) Take(**learner, trace);
  }
  while (trace.losses.size() < static_cast<size_t>(steps)) Take(**learner, trace);
  const auto state = CopyWholeState(**learner);
  EXPECT_TRUE(state.ok()) << state.status();
  for (const TensorToSave& tensor : state->tensors) {
    if (tensor.name != "encoder/blocks.0.attn.qkv.weight") continue;
    const auto* data = static_cast<const float*>(tensor.data);
    trace.params.assign(data, data + tensor.shape[0] * tensor.shape[1]);
  }
  return trace;
}

void ExpectNear(const Trace& actual, const Trace& expected, double tolerance) {
  for (size_t i = 0; i < expected.losses.size(); ++i) {
    EXPECT_NEAR(actual.losses[i], expected.losses[i], tolerance * expected.losses[i]) << i;
    EXPECT_NEAR(actual.norms[i], expected.norms[i], tolerance * expected.norms[i]) << i;
  }
}

// What the tests of graphs below need: their steps differ in masks and share the shapes.
TEST(CudaStepTest, StepsHaveMasksOfTheirOwnInTwoShapes) {
  const auto rows = [](int step) { return MakeStepRows(MasksOf(step), 3, 16, at::kCPU); };
  for (int step = kShapes; step < kSteps; ++step) {
    const StepRows before = rows(step - kShapes), now = rows(step), other = rows(step - 1);
    EXPECT_EQ(now.target_union.sizes(), before.target_union.sizes()) << step;
    EXPECT_NE(now.context_rows.sizes(), other.context_rows.sizes()) << step;
    EXPECT_EQ(now.context_rows.sizes(), before.context_rows.sizes()) << step;
    EXPECT_FALSE(now.context_rows.equal(before.context_rows)) << step;
    EXPECT_FALSE(now.target_union.equal(before.target_union)) << step;
    EXPECT_FALSE(now.target_positions.rows.equal(before.target_positions.rows)) << step;
  }
  const Trace cpu = Train(Config(Device::kCpu, Precision::kFp32, CudaGraphs::kOff));
  EXPECT_EQ(cpu.losses.size(), static_cast<size_t>(kSteps));
}

// Six steps of sign-like AdamW let rounding grow: 2e-3 is ten times what fp32 on two CPUs differs.
TEST(CudaStepTest, EqualsTheCpuInFp32) {
  SKIP_WITHOUT_GPU();
  const Trace cpu = Train(Config(Device::kCpu, Precision::kFp32, CudaGraphs::kOff), 6);
  const Trace gpu = Train(Config(Device::kCuda, Precision::kFp32, CudaGraphs::kOff), 6);
  EXPECT_NEAR(gpu.losses[0], cpu.losses[0], 1e-5 * cpu.losses[0]);
  EXPECT_NEAR(gpu.norms[0], cpu.norms[0], 1e-4 * cpu.norms[0]);
  ExpectNear(gpu, cpu, 2e-3);
}

TEST(CudaStepTest, IsWithinBf16OfFp32) {
  SKIP_WITHOUT_GPU();
  const Trace fp32 = Train(Config(Device::kCuda, Precision::kFp32, CudaGraphs::kOff), 6);
  const Trace bf16 = Train(Config(Device::kCuda, Precision::kBf16, CudaGraphs::kOff), 6);
  ExpectNear(bf16, fp32, 0.05);
  EXPECT_NE(bf16.losses[0], fp32.losses[0]);
}

// The same kernels in the same order, and every sum of ours in a fixed order: the same bits.
TEST(CudaStepTest, ReplayedGraphEqualsTheStepWithoutOne) {
  SKIP_WITHOUT_GPU();
  for (Precision precision : {Precision::kFp32, Precision::kBf16}) {
    const Trace eager = Train(Config(Device::kCuda, precision, CudaGraphs::kOff));
    const Trace graph = Train(Config(Device::kCuda, precision, CudaGraphs::kOn));
    ExpectNear(graph, eager, 1e-5);
    EXPECT_EQ(graph.params.size(), eager.params.size());
    for (size_t i = 0; i < eager.params.size(); ++i) {
      ASSERT_NEAR(graph.params[i], eager.params[i], 1e-5) << i;
    }
  }
}

// A captured backward pass that runs blocks again inside itself.
TEST(CudaStepTest, ReplayedGraphWithActivationCheckpointingEqualsThePlainStep) {
  SKIP_WITHOUT_GPU();
  const Trace plain = Train(Config(Device::kCuda, Precision::kBf16, CudaGraphs::kOff));
  TrainConfig config = Config(Device::kCuda, Precision::kBf16, CudaGraphs::kOn);
  config.activation_checkpointing = true;
  ExpectNear(Train(config), plain, 1e-5);
}

TEST(CudaStepTest, DeterministicRunsGiveTheSameBits) {
  SKIP_WITHOUT_GPU();
  TrainConfig config = Config(Device::kCuda, Precision::kBf16, CudaGraphs::kAuto);
  config.deterministic = true;
  const Trace first = Train(config), second = Train(config);
  EXPECT_EQ(second.losses, first.losses);
  EXPECT_EQ(second.params, first.params);
}

// Products read bf16 copies of the weights: those must be of what was restored.
TEST(CudaStepTest, StepsFromRestoredWeightsInBf16) {
  SKIP_WITHOUT_GPU();
  const TrainConfig config = Config(Device::kCuda, Precision::kBf16, CudaGraphs::kOff);
  TrainConfig other = config;
  other.seed = config.seed + 1;
  const auto saved = Learner::Create(config), restored = Learner::Create(other);
  ASSERT_TRUE(saved.ok() && restored.ok());
  const auto state = CopyWholeState(**saved);
  ASSERT_TRUE(state.ok()) << state.status();
  ASSERT_TRUE((*restored)->Restore(HostReader(*state)).ok());
  const Batch batch = testing::RandomBatch(config, 3, /*seed=*/1);
  for (const auto* learner : {&*restored, &*saved}) {
    ASSERT_TRUE((*learner)->AccumulateShard(batch, testing::SmallMasks(3), {}).ok());
  }
  EXPECT_EQ(testing::EndStep(**restored, {.lr = 1e-3}), testing::EndStep(**saved, {.lr = 1e-3}));
}

// Passes with graphs and without over the same networks, whose weights stay.
class GraphedPassTest : public ::testing::Test {
 protected:
  void SetUp() override {
    SKIP_WITHOUT_GPU();
    const TrainConfig config = Config(Device::kCuda, Precision::kBf16, CudaGraphs::kOn);
    // Makes a stream that can be captured current.
    auto learner = Learner::Create(config);
    ASSERT_TRUE(learner.ok()) << learner.status();
    learner_ = *std::move(learner);
    networks_ =
        std::make_unique<Networks>(config.model, at::Device(at::kCUDA, 0), config.precision);
    networks_->Initialise(config.init, config.seed);
    graphed_ = std::make_unique<ShardPass>(networks_.get(), CudaGraphs::kOn);
    plain_ = std::make_unique<ShardPass>(networks_.get(), CudaGraphs::kOff);
    batch_ = testing::RandomBatch(config, 3, 1);
  }

  // Expects both to give the same loss.
  void RunBoth(const MaskBatch& masks, double scale) {
    const uint8_t* pixels = batch_.pixels.data();
    const double expected = plain_->Run(pixels, 3, masks, scale).item<double>();
    const double actual = graphed_->Run(pixels, 3, masks, scale).item<double>();
    EXPECT_NEAR(actual, expected, 1e-5 * expected);
  }

  std::unique_ptr<Learner> learner_;
  std::unique_ptr<Networks> networks_;
  std::unique_ptr<ShardPass> graphed_, plain_;
  Batch batch_;
};

TEST_F(GraphedPassTest, CapturesEachShapeFromItsThirdTimeOn) {
  const size_t expected[] = {0, 0, 0, 0, 1, 2, 2, 2, 2, 2};
  for (int step = 0; step < kSteps; ++step) {
    RunBoth(MasksOf(step), 1.0);
    EXPECT_EQ(graphed_->graphs(), expected[step]) << step;
  }
}

// Another scale is another shape. The one longest unused goes, and comes back when it is wanted.
TEST_F(GraphedPassTest, KeepsNoMoreGraphsThanItsBound) {
  for (size_t i = 0; i <= ShardPass::kMaxGraphs; ++i) {
    for (int time = 0; time < 3; ++time) {
      graphed_->Run(batch_.pixels.data(), 3, MasksOf(0), 1.0 + static_cast<double>(i));
    }
    EXPECT_EQ(graphed_->graphs(), std::min(i + 1, ShardPass::kMaxGraphs));
  }
  for (int step : {0, 2, 4}) {
    RunBoth(MasksOf(step), 1.0);  // Gone, captured again, replayed.
    RunBoth(MasksOf(step), 1.0 + ShardPass::kMaxGraphs);
    EXPECT_EQ(graphed_->graphs(), ShardPass::kMaxGraphs);
  }
}

// While it lives, LibTorch throws where the host would wait for a stream.
class ErrorOnWaiting {
 public:
  ErrorOnWaiting() { Set(c10::cuda::SyncDebugMode::L_ERROR); }
  ~ErrorOnWaiting() { Set(c10::cuda::SyncDebugMode::L_DISABLED); }

 private:
  static void Set(c10::cuda::SyncDebugMode mode) {
    c10::cuda::warning_state().set_sync_debug_mode(mode);
  }
};

// The step of the loop: the host gives the device a step, then takes the result of the one before,
// whose event is all that it waits for.
TEST(CudaStepTest, NeitherStepNorReplayedStepWaitsForTheDevice) {
  SKIP_WITHOUT_GPU();
  for (CudaGraphs graphs : {CudaGraphs::kOff, CudaGraphs::kOn}) {
    const TrainConfig config = Config(Device::kCuda, Precision::kBf16, graphs);
    const auto learner = Learner::Create(config);
    ASSERT_TRUE(learner.ok()) << learner.status();
    std::optional<ErrorOnWaiting> strict;
    for (int step = 0; step < kSteps; ++step) {
      // From here on memory is there, algorithms are chosen, and graphs captured.
      if (step == 3 * kShapes) strict.emplace();
      const Batch batch = testing::RandomBatch(config, 3, static_cast<uint64_t>(step));
      (*learner)->EndSpan(StepSpan::kBegin);
      const absl::Status added = (*learner)->AccumulateShard(batch, MasksOf(step), {});
      ASSERT_TRUE(added.ok()) << added;
      (*learner)->SetScalar(StepScalar::kDrain, 0);
      (*learner)->EndSpan(StepSpan::kWork);
      const absl::Status updated =
          (*learner)->Update({.lr = 1e-3, .weight_decay = 0.05, .ema_momentum = 0.99});
      ASSERT_TRUE(updated.ok()) << updated;
      if (step < (*learner)->results_left()) continue;
      const auto result = (*learner)->TakeResult();
      ASSERT_TRUE(result.ok()) << result.status();
    }
    EXPECT_ANY_THROW(at::ones({1}, at::kCUDA).item<float>());  // The mode is what it says.
  }
}

// Page-locked memory is taken where the key says so, and only there.
TEST(CudaStepTest, StagesPixelsInPageLockedMemoryAsTold) {
  SKIP_WITHOUT_GPU();
  const TrainConfig config = testing::SmallConfig();
  const at::Device device(at::kCUDA, 0);
  const Batch batch = testing::RandomBatch(config, 3, 1);
  const auto stages = [] {
    return at::getHostAllocator(at::kCUDA)->get_stats().num_host_alloc +
           at::getHostAllocator(at::kCUDA)->get_stats().active_requests.allocated;
  };
  for (const bool pin : {false, true}) {
    const auto before = stages();
    const at::Tensor pixels =
        PixelsToDevice(config.model, batch.pixels.data(), 3, device, pin).cpu();
    EXPECT_EQ(std::memcmp(pixels.const_data_ptr(), batch.pixels.data(), batch.pixels.size()), 0);
    EXPECT_EQ(stages() > before, pin);
  }
}

TEST(CudaStepTest, SkipsAGradientThatIsNotFinite) {
  SKIP_WITHOUT_GPU();
  const TrainConfig config = Config(Device::kCuda, Precision::kFp32, CudaGraphs::kOff);
  const auto learner = Learner::Create(config);
  ASSERT_TRUE(learner.ok()) << learner.status();
  const FloatBuffer gradient = (*learner)->gradient();
  at::from_blob(gradient.data, {gradient.count}, at::TensorOptions().device(at::kCUDA, 0))
      .narrow(0, 5, 1)
      .fill_(std::numeric_limits<float>::quiet_NaN());
  const UpdateRates rates{.lr = 1, .weight_decay = 1, .ema_momentum = 0};
  EXPECT_FALSE(testing::EndStep(**learner, rates).updated);
  const Batch batch = testing::RandomBatch(config, 3, 0);
  ASSERT_TRUE((*learner)->AccumulateShard(batch, MasksOf(0), {}).ok());
  EXPECT_EQ(Train(config).losses[0], testing::EndStep(**learner, rates).scalar(StepScalar::kLoss));
}

at::Tensor OnGpu(float* data, int64_t count) {
  return at::from_blob(data, {count}, at::TensorOptions().device(at::kCUDA, 0));
}

// Two ranks that share the update out, as threads with one GPU and one gradient, which counts as
// summed. They join what they own through a buffer of their own, as NCCL would.
class TwoSharingRanks {
 public:
  explicit TwoSharingRanks(const TrainConfig& config) : config_(config) {
    config_.optimization.zero1 = true;
    config_.world_size = 2;
  }

  // Each rank's result and its weights, after one step on a gradient with `bad` in it.
  std::vector<StepResult> Step(const UpdateRates& rates, float bad) {
    std::vector<std::thread> ranks;
    std::vector<StepResult> results(2);
    for (int rank = 0; rank < 2; ++rank) {
      ranks.emplace_back([&, rank] { results[static_cast<size_t>(rank)] = Run(rank, rates, bad); });
    }
    for (std::thread& rank : ranks) rank.join();
    return results;
  }
  std::vector<HostState> states = std::vector<HostState>(2);

 private:
  StepResult Run(int rank, const UpdateRates& rates, float bad) {
    TrainConfig config = config_;
    config.rank = rank;
    const auto learner = Learner::Create(config);
    EXPECT_TRUE(learner.ok()) << learner.status();
    const FloatBuffer gradient = (*learner)->gradient();
    const int64_t floats = gradient.count - kStepScalars;
    const std::vector<FlatRange> owned =
        OwnedRanges(BucketsOf(floats, config.optimization.bucket_mib), rank, 2);
    const auto gather = [&](float* flat) -> absl::Status {
      Meet([&] { joined_ = at::empty({floats}, OnGpu(flat, floats).options()); });
      for (const FlatRange& range : owned) {
        joined_.narrow(0, range.begin, range.size()).copy_(OnGpu(flat + range.begin, range.size()));
      }
      Meet([] {});
      OnGpu(flat, floats).copy_(joined_);
      Meet([] {});
      return absl::OkStatus();
    };
    (*learner)->ShareUpdate(
        {.sum = [](float*, int64_t) { return absl::OkStatus(); }, .gather = gather});
    (*learner)->EndSpan(StepSpan::kBegin);
    const Batch batch = testing::RandomBatch(config, 3, /*seed=*/1);
    EXPECT_TRUE((*learner)->AccumulateShard(batch, testing::SmallMasks(3), {}).ok());
    (*learner)->EndSpan(StepSpan::kWork);
    if (bad != 0) OnGpu(gradient.data, gradient.count).narrow(0, 5, 1).fill_(bad);
    EXPECT_TRUE((*learner)->SetSquares().ok());
    const int64_t at = floats + static_cast<int>(StepScalar::kSquares);
    Meet([&] { squares_ = 0; });
    {
      const float mine = OnGpu(gradient.data, gradient.count)[at].item<float>();
      const std::lock_guard<std::mutex> lock(mutex_);
      squares_ += mine;
    }
    Meet([] {});
    (*learner)->SetScalar(StepScalar::kSquares, squares_);
    (*learner)->EndSpan(StepSpan::kPeers);
    EXPECT_EQ((*learner)->results_left(), kMaxResultsLeft);  // The device decides.
    const StepResult result = testing::EndStep(**learner, rates);
    const auto seconds = (*learner)->DeviceSeconds();
    EXPECT_TRUE(seconds.has_value() && seconds->work > 0 && seconds->peers > 0);
    auto state = CopyWholeState(**learner);
    EXPECT_TRUE(state.ok()) << state.status();
    states[static_cast<size_t>(rank)] = *std::move(state);
    return result;
  }

  // One rank does `once` when the device is idle and both have come; then both go on.
  template <typename Once>
  void Meet(Once once) {
    c10::cuda::device_synchronize();
    barrier_.arrive_and_wait();
    if (first_.exchange(false)) once();
    c10::cuda::device_synchronize();
    barrier_.arrive_and_wait();
    first_ = true;
    barrier_.arrive_and_wait();
  }

  TrainConfig config_;
  std::barrier<> barrier_{2};
  std::atomic<bool> first_ = true;
  std::mutex mutex_;
  at::Tensor joined_;
  float squares_ = 0;
};

// Every tensor of the state but those named otherwise, largest difference.
void ExpectSameState(const HostState& actual, const HostState& expected, double tolerance) {
  ASSERT_EQ(actual.tensors.size(), expected.tensors.size());
  for (size_t i = 0; i < expected.tensors.size(); ++i) {
    const TensorToSave& tensor = expected.tensors[i];
    if (tensor.type != TensorType::kFloat32) continue;
    const auto* a = static_cast<const float*>(actual.tensors[i].data);
    const auto* b = static_cast<const float*>(tensor.data);
    for (int64_t k = 0; k < BytesOf(tensor) / static_cast<int64_t>(sizeof(float)); ++k) {
      ASSERT_NEAR(a[k], b[k], tolerance) << tensor.name << " " << k;
    }
  }
}

TEST(CudaStepTest, SharedUpdateIsDecidedOnTheDeviceAndEqualsTheWholeOne) {
  SKIP_WITHOUT_GPU();
  const UpdateRates rates{.lr = 1e-3, .weight_decay = 0.05, .ema_momentum = 0.9};
  for (Precision precision : {Precision::kFp32, Precision::kBf16}) {
    const TrainConfig config = Config(Device::kCuda, precision, CudaGraphs::kOff);
    const auto whole = Learner::Create(config);
    ASSERT_TRUE(whole.ok()) << whole.status();
    const auto untouched = CopyWholeState(**whole);
    const Batch batch = testing::RandomBatch(config, 3, /*seed=*/1);
    ASSERT_TRUE((*whole)->AccumulateShard(batch, testing::SmallMasks(3), {}).ok());
    const StepResult expected = testing::EndStep(**whole, rates);
    const auto stepped = CopyWholeState(**whole);
    ASSERT_TRUE(untouched.ok() && stepped.ok());
    TwoSharingRanks sharing(config);
    for (const StepResult& result : sharing.Step(rates, /*bad=*/0)) {
      EXPECT_TRUE(result.updated);
      EXPECT_NEAR(result.gradient_norm, expected.gradient_norm, 1e-4 * expected.gradient_norm);
    }
    for (const HostState& state : sharing.states) ExpectSameState(state, *stepped, 1e-5);
    TwoSharingRanks skipping(config);
    for (const StepResult& result : skipping.Step(rates, std::numeric_limits<float>::quiet_NaN())) {
      EXPECT_FALSE(result.updated);
    }
    for (const HostState& state : skipping.states) ExpectSameState(state, *untouched, 0);
  }
}

// Head dimensions of ViT-H, ViT-g and their predictor, whichever backend serves them.
TEST(CudaAttentionTest, ServesTheHeadDimensionsOfEveryModel) {
  SKIP_WITHOUT_GPU();
  SetCudaAttentionOrder();
  for (int64_t head_dim : {24, 32, 64, 80, 88, 128}) {
    for (int64_t first_query : {0, 40}) {
      const Sequences shape{.count = 3, .tokens = 113, .heads = 4};
      const auto options = at::TensorOptions().device(at::kCUDA).dtype(at::kBFloat16);
      const at::Tensor qkv =
          at::randn({3 * 113, 3 * 4 * head_dim}, options).set_requires_grad(true);
      const at::Tensor exact = qkv.detach().cpu().to(at::kFloat).set_requires_grad(true);
      const at::Tensor out = Attend(qkv, shape, first_query);
      const at::Tensor expected = AttendBySdpa(exact, shape, first_query);
      EXPECT_LT((out.cpu().to(at::kFloat) - expected).abs().max().item<double>(), 0.03) << head_dim;
      out.to(at::kFloat).square().sum().backward();
      expected.square().sum().backward();
      const at::Tensor error = qkv.grad().cpu().to(at::kFloat) - exact.grad();
      EXPECT_LT(error.norm().item<double>(), 0.03 * exact.grad().norm().item<double>()) << head_dim;
    }
  }
}

}  // namespace
}  // namespace jepa
