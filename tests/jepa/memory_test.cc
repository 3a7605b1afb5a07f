// Orders that hold for every estimate, and peaks that were measured. memory_estimate_test measures
// anew, on small models; tests/bench/memory_bench on large ones.
#include "worker/jepa/plan/memory.h"

#include <gtest/gtest.h>

#include "tests/fakes/vit_model.h"

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

TEST(MemoryTest, StateIsFourNumbersPerTrainedParameterTheTargetAndTheTables) {
  constexpr int64_t kTables = 256 * (2 * 1280 + 384);
  EXPECT_EQ(Estimate({}).state_bytes,
            4 * (4 * (630'434'560LL + 22'279'424) + 630'434'560 + kTables));
}

TEST(MemoryTest, MomentsAreSharedOutOverRanks) {
  const int64_t moments = 2 * 4 * (630'434'560LL + 22'279'424);
  EXPECT_EQ(Estimate({.moment_ranks = 4}).state_bytes,
            Estimate({}).state_bytes - moments + moments / 4);
}

TEST(MemoryTest, ActivationsGrowWithTheBatchAlone) {
  const MemoryEstimate few = Estimate({.batch_size = 16});
  const MemoryEstimate twice = Estimate({.batch_size = 32});
  const MemoryEstimate many = Estimate({.batch_size = 128});
  EXPECT_EQ(few.state_bytes, many.state_bytes);
  EXPECT_EQ(few.runtime_bytes, many.runtime_bytes);
  EXPECT_NEAR(static_cast<double>(many.activation_bytes - few.activation_bytes),
              7 * static_cast<double>(twice.activation_bytes - few.activation_bytes), 32);
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

// Peaks of LibTorch's allocator over a step in fp32 on CPU, as memory_bench printed them.
TEST(MemoryTest, TensorsAreWithinATenthOfMeasuredPeaks) {
  struct Measured {
    const char* encoder;
    int patch;
    bool checkpointing;
    ExpectedMasks kept;
    double peak_bytes;
  };
  for (const Measured& m : {Measured{"vit_tiny", 16, false, {63, 36}, 545'293'496},
                            {"vit_tiny", 16, true, {63, 36}, 355'768'824},
                            {"vit_base", 16, false, {63, 36}, 2'270'867'384},
                            {"vit_base", 16, true, {63, 36}, 1'976'475'576},
                            {"vit_small", 8, false, {259, 132}, 1'783'804'440}}) {
    const ModelConfig model = VitModel(m.encoder, m.patch, 224, /*pred_depth=*/6).value();
    const MemoryEstimate estimate =
        EstimateMemory(model, MaskConfig{}, m.kept,
                       {.batch_size = 4, .activation_checkpointing = m.checkpointing});
    EXPECT_NEAR(static_cast<double>(estimate.tensor_bytes()) / m.peak_bytes, 1, 0.1)
        << m.encoder << "/" << m.patch << (m.checkpointing ? ", checkpointing" : "");
  }
}

}  // namespace
}  // namespace jepa
