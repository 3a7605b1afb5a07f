// The contract of Learner, through its Torch-free header.
#include "worker/jepa/model/learner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "tests/train/model/learner_calls.h"
#include "tests/train/model/learner_fixture.h"
#include "worker/jepa/host_state.h"

namespace jepa {
namespace {

using testing::AddShard;
using ::testing::HasSubstr;
using testing::RandomBatch;
using testing::SmallConfig;
using testing::SmallMasks;

constexpr UpdateRates kRates{.lr = 1e-3, .weight_decay = 0.05, .ema_momentum = 0.99};

std::unique_ptr<Learner> MakeLearner(const TrainConfig& config = SmallConfig()) {
  auto learner = Learner::Create(config);
  EXPECT_TRUE(learner.ok()) << learner.status();
  return *std::move(learner);
}

double Accumulate(Learner& learner, uint64_t seed, double scale, int images = 3) {
  return AddShard(learner, RandomBatch(SmallConfig(), images, seed), SmallMasks(images), scale);
}

// Without the scalars behind it.
std::vector<float> Gradient(Learner& learner) {
  const FloatBuffer buffer = learner.gradient();
  return {buffer.data, buffer.data + buffer.count - kStepScalars};
}

// What a watcher is told is final must not change until the pass is over, or a bucket would be
// summed too early; and it must be told of every block but the first of the predictor.
TEST(LearnerTest, WatcherIsToldOnlyOfWhatIsFinal) {
  for (const bool recompute : {false, true}) {
    TrainConfig config = SmallConfig();
    config.activation_checkpointing = recompute;
    const auto learner = MakeLearner(config);
    Accumulate(*learner, /*seed=*/1, 0.5);
    std::vector<std::vector<float>> told;
    learner->WatchNextShard([&](int64_t floats) {
      const float* gradient = learner->gradient().data;
      told.emplace_back(gradient, gradient + floats);
    });
    Accumulate(*learner, /*seed=*/2, 0.5);
    const std::vector<float> final = Gradient(*learner);
    ASSERT_EQ(told.size(), 4u);  // Predictor block 1, the encoder, its blocks 1 and 0.
    for (size_t i = 0; i < told.size(); ++i) {
      EXPECT_GT(told[i].size(), i == 0 ? 0 : told[i - 1].size());
      EXPECT_TRUE(std::equal(told[i].begin(), told[i].end(), final.begin())) << i;
    }
    Accumulate(*learner, /*seed=*/3, 0.5);
    EXPECT_EQ(told.size(), 4u);  // Of the next shard only.
  }
}

// Moments of a rank that shares the update out are pieces; without its peers there is no state.
TEST(LearnerTest, SharedMomentsCannotBeCopiedAlone) {
  TrainConfig config = SmallConfig();
  config.world_size = 2;
  config.optimization.zero1 = true;
  const auto learner = MakeLearner(config);
  EXPECT_EQ(CopyWholeState(*learner).status().code(), absl::StatusCode::kFailedPrecondition);
}

using State = std::map<std::string, std::vector<float>>;

State StateOf(Learner& learner) {
  State state;
  const auto copy = CopyWholeState(learner);
  EXPECT_TRUE(copy.ok()) << copy.status();
  for (const TensorToSave& tensor : copy->tensors) {
    int64_t count = 1;
    for (int64_t size : tensor.shape) count *= size;
    if (tensor.type == TensorType::kInt64) {
      state[tensor.name] = {static_cast<float>(*static_cast<const int64_t*>(tensor.data))};
      continue;
    }
    const auto* data = static_cast<const float*>(tensor.data);
    state[tensor.name] = {data, data + count};
  }
  return state;
}

// A checkpoint of the learner's state on disk, opened.
absl::StatusOr<CheckpointReader> SaveAndOpen(Learner& learner) {
  const std::string folder =
      ::testing::TempDir() + "/" + ::testing::UnitTest::GetInstance()->current_test_info()->name();
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder);
  const auto copy = CopyWholeState(learner);
  if (!copy.ok()) return copy.status();
  auto summary = WriteCheckpoint(folder, {.job_uid = "job", .step = 1}, copy->tensors);
  if (!summary.ok()) return summary.status();
  return CheckpointReader::Open(summary->path);
}

TEST(LearnerTest, BuildsTheSameBitsForTheSameSeedOnly) {
  TrainConfig other = SmallConfig();
  other.seed = 8;
  EXPECT_EQ(StateOf(*MakeLearner()), StateOf(*MakeLearner()));
  EXPECT_NE(StateOf(*MakeLearner()), StateOf(*MakeLearner(other)));
}

TEST(LearnerTest, StartsWithTargetEqualToEncoder) {
  const State state = StateOf(*MakeLearner());
  int compared = 0;
  for (const auto& [name, values] : state) {
    if (name.rfind("encoder/", 0) != 0) continue;
    EXPECT_EQ(values, state.at("target_" + name)) << name;
    ++compared;
  }
  EXPECT_EQ(compared, 5 + 12 * 2);
}

TEST(LearnerTest, TwoShardsAccumulateTheMeanOfTheirGradients) {
  const std::unique_ptr<Learner> one = MakeLearner();
  const std::unique_ptr<Learner> two = MakeLearner();
  const std::unique_ptr<Learner> both = MakeLearner();
  Accumulate(*one, 1, 1.0);
  Accumulate(*two, 2, 1.0);
  Accumulate(*both, 1, 0.5);
  Accumulate(*both, 2, 0.5);
  const std::vector<float> first = Gradient(*one), second = Gradient(*two), mean = Gradient(*both);
  double largest = 0;
  for (size_t i = 0; i < mean.size(); ++i) {
    EXPECT_NEAR(mean[i], 0.5 * (first[i] + second[i]), 1e-7) << i;
    largest = std::max<double>(largest, std::abs(mean[i]));
  }
  EXPECT_GT(largest, 1e-3);
}

TEST(LearnerTest, TwoHalvesOfABatchGiveTheGradientOfTheWhole) {
  const std::unique_ptr<Learner> whole = MakeLearner();
  const std::unique_ptr<Learner> halves = MakeLearner();
  const Batch batch = RandomBatch(SmallConfig(), 4, 3);
  const size_t half = batch.pixels.size() / 2;
  Batch low = batch, high = batch;
  low.images = high.images = 2;
  low.pixels.resize(half);
  high.pixels.erase(high.pixels.begin(), high.pixels.begin() + half);
  const double loss = AddShard(*whole, batch, SmallMasks(4), 1.0);
  const double low_loss = AddShard(*halves, low, SmallMasks(2), 0.5);
  const double high_loss = AddShard(*halves, high, SmallMasks(2), 0.5);
  EXPECT_NEAR(loss, (low_loss + high_loss) / 2, 1e-6);
  const std::vector<float> expected = Gradient(*whole), actual = Gradient(*halves);
  for (size_t i = 0; i < expected.size(); ++i) EXPECT_NEAR(actual[i], expected[i], 1e-6) << i;
}

// Masks that keep `context` and `target` patches of those of SmallMasks.
MaskBatch CutMasks(int images, int context, int target) {
  const MaskBatch whole = SmallMasks(images);
  MaskBatch cut{.context_patches = context, .target_patches = target};
  const auto keep = [&](const std::vector<int64_t>& block, int64_t had, int64_t kept) {
    std::vector<int64_t> rows;
    for (int64_t b = 0; b < images; ++b) {
      rows.insert(rows.end(), block.begin() + b * had, block.begin() + b * had + kept);
    }
    return rows;
  };
  for (const auto& block : whole.context) {
    cut.context.push_back(keep(block, whole.context_patches, context));
  }
  for (const auto& block : whole.target) {
    cut.target.push_back(keep(block, whole.target_patches, target));
  }
  return cut;
}

// Each shard is a mean over its own elements, and shards weigh the same, as the ranks of the
// original do (ijepa-spec 3). So two shards are one shard of the union only where their masks keep
// the same counts (TwoHalvesOfABatch...); else neither the mean over all elements nor the union,
// whose images would all be cut to the smaller counts.
TEST(LearnerTest, ShardsWithUnequalMasksWeighTheSame) {
  const auto gradient = [](double first_scale, double second_scale, const MaskBatch& second) {
    const std::unique_ptr<Learner> learner = MakeLearner();
    const TrainConfig config = SmallConfig();
    AddShard(*learner, RandomBatch(config, 2, 1), SmallMasks(2), first_scale);
    AddShard(*learner, RandomBatch(config, 2, 2), second, second_scale);
    return Gradient(*learner);
  };
  const auto distance = [](const std::vector<float>& a, const std::vector<float>& b) {
    double squares = 0, norm = 0;
    for (size_t i = 0; i < a.size(); ++i) {
      squares += (a[i] - b[i]) * (a[i] - b[i]);
      norm += a[i] * a[i];
    }
    return std::sqrt(squares / norm);
  };
  const MaskBatch narrow = CutMasks(2, 4, 1);
  const std::vector<float> both = gradient(0.5, 0.5, narrow);
  const std::vector<float> first = gradient(1, 0, narrow), second = gradient(0, 1, narrow);
  std::vector<float> mean = first;
  for (size_t i = 0; i < mean.size(); ++i) mean[i] = 0.5f * (first[i] + second[i]);
  EXPECT_LT(distance(mean, both), 1e-5);
  // Three target patches against one: over all elements the first shard would weigh 3/4.
  EXPECT_GT(distance(gradient(0.75, 0.25, narrow), both), 1e-2);
  EXPECT_GT(distance(gradient(0.5, 0.5, SmallMasks(2)), both), 1e-2);
}

TEST(LearnerTest, ResultsAreOfTheirStepsInOrderAndTheStepIsCleared) {
  const std::unique_ptr<Learner> learner = MakeLearner();
  EXPECT_EQ(learner->results_left(), 0);  // On CPU all is known when Update returns.
  std::vector<StepResult> expected;
  for (const uint64_t step : {1, 2}) {
    StepResult& result = expected.emplace_back();
    const double loss = Accumulate(*learner, step, 1.0);
    learner->SetScalar(StepScalar::kWait, static_cast<float>(step));
    result.scalars[static_cast<size_t>(StepScalar::kLoss)] = static_cast<float>(loss);
    result.scalars[static_cast<size_t>(StepScalar::kWait)] = static_cast<float>(step);
    double squares = 0;
    for (const float g : Gradient(*learner)) squares += static_cast<double>(g) * g;
    result.gradient_norm = std::sqrt(squares);
    ASSERT_TRUE(learner->Update(kRates).ok());
    EXPECT_THAT(Gradient(*learner), ::testing::Each(0.0f));
  }
  for (const StepResult& result : expected) {
    const auto taken = learner->TakeResult();
    ASSERT_TRUE(taken.ok()) << taken.status();
    EXPECT_EQ(taken->scalars, result.scalars);
    EXPECT_NEAR(taken->gradient_norm, result.gradient_norm, 1e-5 * result.gradient_norm);
    EXPECT_TRUE(taken->updated);
  }
  EXPECT_FALSE(learner->TakeResult().ok());
}

TEST(LearnerTest, LossOfAStepIsTheWeighedSumOfItsShards) {
  const std::unique_ptr<Learner> learner = MakeLearner(), single = MakeLearner();
  const double first = Accumulate(*single, 1, 1.0), second = Accumulate(*single, 2, 1.0);
  for (const auto& [seed, weight] : {std::pair(1, 0.25), std::pair(2, 0.75)}) {
    const Batch batch = RandomBatch(SmallConfig(), 3, seed);
    ASSERT_TRUE(
        learner->AccumulateShard(batch, SmallMasks(3), {.gradient = 0, .loss = weight}).ok());
  }
  EXPECT_NEAR(testing::EndStep(*learner, kRates).scalar(StepScalar::kLoss),
              0.25 * first + 0.75 * second, 1e-6);
  Accumulate(*learner, 1, 1.0);  // The next step begins at zero.
  EXPECT_NEAR(testing::EndStep(*learner, kRates).scalar(StepScalar::kLoss), first, 1e-2 * first);
}

TEST(LearnerTest, ScalarsLieBehindTheGradientInTheBuffer) {
  const std::unique_ptr<Learner> learner = MakeLearner();
  learner->SetScalar(StepScalar::kDrain, 1.0f);
  learner->SetScalar(StepScalar::kWait, 2.5f);
  const FloatBuffer buffer = learner->gradient();
  const float* scalars = buffer.data + buffer.count - kStepScalars;
  EXPECT_EQ(scalars[static_cast<int>(StepScalar::kDrain)], 1.0f);
  EXPECT_EQ(scalars[static_cast<int>(StepScalar::kWait)], 2.5f);
}

TEST(LearnerTest, TargetFollowsTheEncoderByTheMomentum) {
  const std::unique_ptr<Learner> learner = MakeLearner();
  const State before = StateOf(*learner);
  Accumulate(*learner, 1, 1.0);
  ASSERT_TRUE(learner->Update(kRates).ok());
  const State after = StateOf(*learner);
  for (const auto& [name, values] : after) {
    if (name.rfind("encoder/", 0) != 0) continue;
    const std::vector<float>& old_target = before.at("target_" + name);
    const std::vector<float>& target = after.at("target_" + name);
    for (size_t i = 0; i < values.size(); ++i) {
      EXPECT_NEAR(target[i], 0.99 * old_target[i] + 0.01 * values[i], 1e-7) << name << " " << i;
    }
  }
}

TEST(LearnerTest, LearnsToPredictOneBatch) {
  const std::unique_ptr<Learner> learner = MakeLearner();
  const double first = Accumulate(*learner, 1, 1.0);
  double last = first;
  for (int step = 0; step < 60; ++step) {
    ASSERT_TRUE(learner->Update({.lr = 3e-3, .weight_decay = 0, .ema_momentum = 1}).ok());
    last = Accumulate(*learner, 1, 1.0);
  }
  EXPECT_LT(last, 0.5 * first);
}

TEST(LearnerTest, NonFiniteGradientOrLossChangesNothing) {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const size_t loss = Gradient(*MakeLearner()).size();
  for (const auto& [at, bad] : {std::pair(size_t{5}, kNan), std::pair(size_t{5}, kInfinity),
                                std::pair(loss, kNan), std::pair(loss, kInfinity)}) {
    const std::unique_ptr<Learner> learner = MakeLearner();
    Accumulate(*learner, 1, 1.0);
    EXPECT_TRUE(testing::EndStep(*learner, kRates).updated);
    Accumulate(*learner, 2, 1.0);
    const State before = StateOf(*learner);
    learner->gradient().data[at] = bad;
    EXPECT_FALSE(testing::EndStep(*learner, kRates).updated);
    EXPECT_EQ(StateOf(*learner), before);
    EXPECT_THAT(Gradient(*learner), ::testing::Each(0.0f));
  }
}

TEST(LearnerTest, RestoredLearnerTakesTheSameNextStepBitForBit) {
  const std::unique_ptr<Learner> learner = MakeLearner();
  for (uint64_t step = 0; step < 3; ++step) {
    Accumulate(*learner, step, 1.0);
    ASSERT_TRUE(learner->Update(kRates).ok());
  }
  const auto reader = SaveAndOpen(*learner);
  ASSERT_TRUE(reader.ok()) << reader.status();
  TrainConfig other = SmallConfig();
  other.seed = 99;
  const std::unique_ptr<Learner> restored = MakeLearner(other);
  Accumulate(*restored, 5, 1.0);  // A gradient of the old state must not survive.
  const absl::Status status = restored->Restore(*reader);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(StateOf(*restored), StateOf(*learner));
  EXPECT_EQ(Accumulate(*restored, 9, 1.0), Accumulate(*learner, 9, 1.0));
  ASSERT_TRUE(learner->Update(kRates).ok());
  ASSERT_TRUE(restored->Update(kRates).ok());
  EXPECT_EQ(StateOf(*restored), StateOf(*learner));
}

TEST(LearnerTest, CheckpointOfAnotherModelChangesNothing) {
  TrainConfig wider = SmallConfig();
  wider.model.pred_mlp_hidden = 48;
  const std::unique_ptr<Learner> source = MakeLearner(wider);
  const auto reader = SaveAndOpen(*source);
  ASSERT_TRUE(reader.ok()) << reader.status();
  const std::unique_ptr<Learner> learner = MakeLearner();
  Accumulate(*learner, 1, 1.0);
  const State before = StateOf(*learner);
  const std::vector<float> gradient = Gradient(*learner);
  EXPECT_FALSE(learner->Restore(*reader).ok());
  EXPECT_EQ(StateOf(*learner), before);
  EXPECT_EQ(Gradient(*learner), gradient);
  EXPECT_NE(learner->ModelLine(), source->ModelLine());
}

TEST(LearnerTest, PooledFeaturesDoNotDependOnTheBatch) {
  const std::unique_ptr<Learner> learner = MakeLearner();
  const Batch batch = RandomBatch(SmallConfig(), 70, 1);  // More than one internal batch.
  const auto all = learner->PooledFeatures(batch.pixels, 70);
  ASSERT_TRUE(all.ok()) << all.status();
  EXPECT_EQ(all->images, 70);
  EXPECT_EQ(all->width, 32);
  const size_t bytes = batch.pixels.size() / 70;
  const auto last = learner->PooledFeatures({batch.pixels.end() - bytes, batch.pixels.end()}, 1);
  ASSERT_TRUE(last.ok()) << last.status();
  for (int d = 0; d < 32; ++d) EXPECT_NEAR(last->values[d], all->values[69 * 32 + d], 1e-5);
}

TEST(LearnerTest, RefusesMasksAndPixelsThatDoNotFit) {
  const std::unique_ptr<Learner> learner = MakeLearner();
  const Batch batch = RandomBatch(SmallConfig(), 3, 1);
  MaskBatch outside = SmallMasks(3);
  outside.target[1][4] = 16;
  EXPECT_THAT(learner->AccumulateShard(batch, outside, {}).ToString(),
              HasSubstr("the grid has 16"));
  EXPECT_FALSE(learner->AccumulateShard(batch, SmallMasks(2), {}).ok());
  EXPECT_FALSE(learner->PooledFeatures(batch.pixels, 4).ok());
  EXPECT_THAT(Gradient(*learner), ::testing::Each(0.0f));
}

TEST(LearnerTest, RefusesADeviceThatIsNotThere) {
  TrainConfig config = SmallConfig();
  config.device = Device::kCuda;
  config.device_index = 63;
  const auto learner = Learner::Create(config);
  EXPECT_TRUE(absl::IsInvalidArgument(learner.status())) << learner.status();
  EXPECT_THAT(learner.status().ToString(), HasSubstr("63"));
}

TEST(LearnerTest, Bf16OnACpuRunsOnlyWithHardwareForIt) {
  TrainConfig config = SmallConfig();
  config.precision = Precision::kBf16;
  auto learner = Learner::Create(config);
  if (!learner.ok()) {
    EXPECT_TRUE(absl::IsInvalidArgument(learner.status()));
    EXPECT_THAT(learner.status().ToString(), HasSubstr("AVX512-BF16"));
    return;
  }
  EXPECT_NEAR(Accumulate(**learner, 1, 1.0), Accumulate(*MakeLearner(), 1, 1.0), 0.02);
}

}  // namespace
}  // namespace jepa
