// EstimateMemory against what LibTorch's allocator gives out in steps of the real learner. What the
// process takes besides tensors is measured by memory_bench.
#include <gtest/gtest.h>

#include <cstdio>
#include <memory>

#include "tests/bench/tensor_peak.h"
#include "tests/train/model/learner_fixture.h"
#include "worker/jepa/model/learner.h"
#include "worker/jepa/plan/memory.h"

namespace jepa {
namespace {

// Grids, depths and widths for which other parts of the estimate are the largest.
struct Case {
  const char* name;
  int embed_dim;
  int depth;
  int pred_embed_dim;
  int pred_depth;
  int batch;
};
constexpr Case kCases[] = {{"wide predictor", 64, 2, 192, 4, 8},
                           {"wide encoder", 256, 6, 64, 2, 8},
                           {"predictor of one block", 96, 3, 96, 1, 12}};

TrainConfig ConfigOf(const Case& c, Precision precision, bool checkpointing) {
  TrainConfig config = testing::SmallConfig();
  config.data.crop_size = {160, 160};
  config.data.batch_size = c.batch;
  config.mask.mode = MaskMode::kFixed;
  config.model = {.grid_height = 10,
                  .grid_width = 10,
                  .patch_size = 16,
                  .embed_dim = c.embed_dim,
                  .depth = c.depth,
                  .num_heads = 4,
                  .mlp_hidden = 4 * c.embed_dim,
                  .pred_depth = c.pred_depth,
                  .pred_embed_dim = c.pred_embed_dim,
                  .pred_mlp_hidden = 4 * c.pred_embed_dim};
  config.precision = precision;
  config.activation_checkpointing = checkpointing;
  return config;
}

// Estimate over peak of two steps.
double RatioOf(const TrainConfig& config) {
  const auto sampler = NewMaskSampler(config.mask, {10, 10}, config.seed, /*shard=*/0);
  const MaskBatch masks = sampler->Sample(/*step=*/1, config.data.batch_size).value();
  const Batch batch = testing::RandomBatch(config, config.data.batch_size, /*seed=*/1);
  const TensorPeak peak;
  const auto learner = Learner::Create(config);
  EXPECT_TRUE(learner.ok()) << learner.status();
  for (int step = 0; step < 2; ++step) {
    EXPECT_TRUE((*learner)->AccumulateShard(batch, masks, 1.0).ok());
    EXPECT_TRUE((*learner)->Update({.lr = 1e-3, .weight_decay = 0.05, .ema_momentum = 0.99}).ok());
  }
  const ExpectedMasks kept{static_cast<double>(masks.context_patches),
                           static_cast<double>(masks.target_patches)};
  const MemoryEstimate estimate =
      EstimateMemory(config.model, config.mask, kept,
                     {.batch_size = config.data.batch_size,
                      .precision = config.precision,
                      .activation_checkpointing = config.activation_checkpointing});
  return static_cast<double>(estimate.tensor_bytes()) / static_cast<double>(peak.bytes());
}

void ExpectWithinATenth(Precision precision) {
  for (const Case& c : kCases) {
    for (const bool checkpointing : {false, true}) {
      const double ratio = RatioOf(ConfigOf(c, precision, checkpointing));
      EXPECT_NEAR(ratio, 1, 0.1) << c.name << (checkpointing ? ", checkpointing" : "");
      std::printf("%s%s: %.4f\n", c.name, checkpointing ? ", checkpointing" : "", ratio);
    }
  }
}

TEST(MemoryEstimateTest, IsWithinATenthOfThePeakOfTensors) { ExpectWithinATenth(Precision::kFp32); }

TEST(MemoryEstimateTest, IsWithinATenthOfThePeakOfTensorsInBf16) {
  if (!Learner::Create(ConfigOf(kCases[0], Precision::kBf16, false)).ok()) {
    GTEST_SKIP() << "this CPU has no bf16 arithmetic";
  }
  ExpectWithinATenth(Precision::kBf16);
}

}  // namespace
}  // namespace jepa
