// Counts against the tables of ijepa-spec 1.1 and performance.md 1.
#include "worker/jepa/plan/arithmetic.h"

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

namespace jepa {
namespace {

ModelConfig Model(const std::string& name, int crop, int patch, int pred_depth = 12) {
  const EncoderShape shape = EncoderByName(name).value();
  ModelConfig model;
  model.grid_height = model.grid_width = crop / patch;
  model.patch_size = patch;
  model.embed_dim = shape.embed_dim;
  model.depth = shape.depth;
  model.num_heads = shape.num_heads;
  model.mlp_hidden = shape.mlp_hidden;
  model.pred_depth = pred_depth;
  model.pred_embed_dim = 384;
  model.pred_mlp_hidden = 4 * 384;
  return model;
}

TEST(ArithmeticTest, CountsTheParametersOfEveryNamedEncoder) {
  EXPECT_EQ(EncoderParameters(Model("vit_tiny", 224, 16)), 5'486'400);
  EXPECT_EQ(EncoderParameters(Model("vit_small", 224, 16)), 21'589'632);
  EXPECT_EQ(EncoderParameters(Model("vit_base", 224, 16)), 85'646'592);
  EXPECT_EQ(EncoderParameters(Model("vit_large", 224, 16)), 303'098'880);
  EXPECT_EQ(EncoderParameters(Model("vit_huge", 224, 14)), 630'434'560);
  EXPECT_EQ(EncoderParameters(Model("vit_huge", 448, 16)), 630'664'960);
  EXPECT_EQ(EncoderParameters(Model("vit_giant", 224, 16)), 1'011'092'608);
}

TEST(ArithmeticTest, CountsTheParametersOfThePredictor) {
  EXPECT_EQ(PredictorParameters(Model("vit_base", 224, 16, 6)), 11'238'912);
  EXPECT_EQ(PredictorParameters(Model("vit_huge", 224, 14, 12)), 22'279'424);
  EXPECT_EQ(PredictorParameters(Model("vit_giant", 224, 16, 16)), 29'475'712);
}

TEST(ArithmeticTest, NamesTheEncodersThatExist) {
  const absl::Status status = EncoderByName("vit_hug").status();
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  for (const std::string& name : EncoderNames()) {
    EXPECT_NE(std::string(status.message()).find(name), std::string::npos) << name;
  }
}

struct FlopRow {
  std::string model;
  int crop;
  int patch;
  int pred_depth;
  ExpectedMasks kept;
  double gflop;
};

// The table of performance.md 1, with the kept patches it states. Rounded to whole GFLOP there.
TEST(ArithmeticTest, GivesTheFlopOfTheTable) {
  const ExpectedMasks k14{69, 44.1}, k16{50, 33.4}, k448_16{242, 136.6}, k448_14{322, 179.3};
  for (const FlopRow& row : std::vector<FlopRow>{{"vit_tiny", 224, 14, 12, k14, 66},
                                                 {"vit_small", 224, 14, 12, k14, 82},
                                                 {"vit_base", 224, 14, 12, k14, 143},
                                                 {"vit_large", 224, 14, 12, k14, 349},
                                                 {"vit_huge", 224, 14, 12, k14, 658},
                                                 {"vit_giant", 224, 14, 16, k14, 1035},
                                                 {"vit_tiny", 224, 16, 12, k16, 48},
                                                 {"vit_large", 224, 16, 12, k16, 259},
                                                 {"vit_huge", 224, 16, 12, k16, 489},
                                                 {"vit_giant", 224, 16, 16, k16, 769},
                                                 {"vit_huge", 448, 16, 12, k448_16, 2261},
                                                 {"vit_huge", 448, 14, 12, k448_14, 3046}}) {
    const StepFlop flop =
        FlopPerImage(Model(row.model, row.crop, row.patch, row.pred_depth), MaskConfig(), row.kept);
    EXPECT_NEAR(flop.total() / 1e9, row.gflop, 0.5 + row.gflop * 2e-3)
        << row.model << " " << row.patch << "@" << row.crop;
  }
  const StepFlop huge = FlopPerImage(Model("vit_huge", 224, 14), MaskConfig(), k14);
  EXPECT_NEAR(huge.target / 1e9, 333, 1);
  EXPECT_NEAR(huge.context / 1e9, 264, 1);
  EXPECT_NEAR(huge.predictor / 1e9, 61, 1);
}

// performance.md 1: means of many simulated steps; 200 steps come within a patch or two.
TEST(ArithmeticTest, SimulatesTheKeptPatches) {
  const ModelConfig huge = Model("vit_huge", 224, 14);
  const ExpectedMasks kept = SimulateMasks(MaskConfig(), huge, 128, 200).value();
  EXPECT_NEAR(kept.context_patches, 68.9, 3);
  EXPECT_NEAR(kept.target_patches, 44.1, 1);
  const ExpectedMasks small = SimulateMasks(MaskConfig(), huge, 16, 200).value();
  EXPECT_NEAR(small.context_patches, 81.0, 3);
}

TEST(ArithmeticTest, RefusesToSimulateMasksThatCannotBeDrawn) {
  EXPECT_TRUE(absl::IsInvalidArgument(
      SimulateMasks(MaskConfig(), Model("vit_tiny", 32, 4), 8, 1).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(
      SimulateMasks(MaskConfig(), Model("vit_tiny", 224, 14), 0, 1).status()));
}

TEST(ArithmeticTest, NeedsMoreMemoryForMoreImagesAndLessForBf16Activations) {
  const ModelConfig model = Model("vit_huge", 224, 14);
  const ExpectedMasks kept{69, 44.1};
  const MaskConfig mask;
  const MemoryEstimate one = EstimateMemory(model, mask, 1, Precision::kFp32, kept);
  const MemoryEstimate many = EstimateMemory(model, mask, 128, Precision::kFp32, kept);
  const MemoryEstimate half = EstimateMemory(model, mask, 128, Precision::kBf16, kept);
  EXPECT_EQ(one.state_bytes, many.state_bytes);
  // 4 fp32 numbers per trained parameter, and the target.
  EXPECT_EQ(one.state_bytes, 4 * (4 * (630'434'560LL + 22'279'424) + 630'434'560));
  EXPECT_EQ(one.activation_bytes, many.activation_bytes / 128);
  EXPECT_LT(half.activation_bytes, many.activation_bytes);
  EXPECT_GT(half.state_bytes, many.state_bytes);
}

TEST(PositionTableTest, EncodesTheColumnFirstOnARectangle) {
  constexpr int kWidth = 8;
  const std::vector<float> table = PositionTable(2, 3, kWidth);
  ASSERT_EQ(table.size(), 2u * 3 * kWidth);
  const float* token = &table[(1 * 3 + 2) * kWidth];  // Row 1, column 2.
  const std::vector<double> expected = {std::sin(2), std::sin(0.02), std::cos(2), std::cos(0.02),
                                        std::sin(1), std::sin(0.01), std::cos(1), std::cos(0.01)};
  for (int i = 0; i < kWidth; ++i) EXPECT_FLOAT_EQ(token[i], static_cast<float>(expected[i])) << i;
}

}  // namespace
}  // namespace jepa
