// EstimateMemory against what LibTorch's allocator gives out in steps of the real learner. What the
// process takes besides tensors is measured by memory_bench.
#include <gtest/gtest.h>

#include <cstdio>

#include "tests/bench/learner_steps.h"
#include "tests/train/model/learner_fixture.h"

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
  const auto measured = MeasureSteps(config, /*steps=*/2);
  EXPECT_TRUE(measured.ok()) << measured.status();
  if (!measured.ok()) return 0;
  const MemoryEstimate estimate = EstimateFor(config, measured->largest);
  return static_cast<double>(estimate.tensor_bytes()) / static_cast<double>(measured->peak_bytes);
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
