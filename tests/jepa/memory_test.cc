// Orders that hold for every estimate; how near it is to what a rank takes is measured in
// tests/bench/memory_bench.
#include "worker/jepa/plan/memory.h"

#include <gtest/gtest.h>

namespace jepa {
namespace {

constexpr ExpectedMasks kKept{69, 44.1};

ModelConfig Huge() {
  return {.grid_height = 16,
          .grid_width = 16,
          .patch_size = 14,
          .embed_dim = 1280,
          .depth = 32,
          .num_heads = 16,
          .mlp_hidden = 5120,
          .pred_depth = 12,
          .pred_embed_dim = 384,
          .pred_mlp_hidden = 1536};
}

MemoryEstimate Estimate(const MemoryOptions& options) {
  return EstimateMemory(Huge(), MaskConfig(), kKept, options);
}

TEST(MemoryTest, StateIsFourNumbersPerTrainedParameterAndTheTarget) {
  EXPECT_EQ(Estimate({}).state_bytes, 4 * (4 * (630'434'560LL + 22'279'424) + 630'434'560));
}

TEST(MemoryTest, MomentsAreSharedOutOverRanks) {
  const int64_t moments = 2 * 4 * (630'434'560LL + 22'279'424);
  EXPECT_EQ(Estimate({.moment_ranks = 4}).state_bytes,
            Estimate({}).state_bytes - moments + moments / 4);
}

TEST(MemoryTest, ActivationsGrowWithTheBatchAlone) {
  const MemoryEstimate few = Estimate({.batch_size = 16});
  const MemoryEstimate many = Estimate({.batch_size = 128});
  EXPECT_EQ(few.state_bytes, many.state_bytes);
  EXPECT_EQ(few.runtime_bytes, many.runtime_bytes);
  EXPECT_NEAR(static_cast<double>(many.activation_bytes),
              8 * static_cast<double>(few.activation_bytes), 16);
  EXPECT_EQ(many.total_bytes(), many.runtime_bytes + many.state_bytes + many.activation_bytes);
}

TEST(MemoryTest, CheckpointingAndBf16TakeLessForActivations) {
  const MemoryEstimate plain = Estimate({.batch_size = 128});
  const MemoryEstimate half = Estimate({.batch_size = 128, .precision = Precision::kBf16});
  const MemoryEstimate again = Estimate({.batch_size = 128, .activation_checkpointing = true});
  EXPECT_LT(half.activation_bytes, plain.activation_bytes);
  EXPECT_LT(again.activation_bytes, plain.activation_bytes / 3);
  EXPECT_EQ(again.state_bytes, plain.state_bytes);
}

}  // namespace
}  // namespace jepa
