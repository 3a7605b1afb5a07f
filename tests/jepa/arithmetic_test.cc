// Counts against the tables of ijepa-spec 1.1 and performance.md 1.
#include "worker/jepa/plan/arithmetic.h"

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "tests/fakes/vit_model.h"
#include "worker/jepa/plan/fixed_masks.h"

namespace jepa {
namespace {

ModelConfig Model(const std::string& name, int crop, int patch, int pred_depth = 12) {
  return VitModel(name, patch, crop, pred_depth).value();
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

// performance.md 1: means of many simulated steps; 400 steps come within a patch or so.
TEST(ArithmeticTest, SimulatesTheKeptPatches) {
  const ModelConfig huge = Model("vit_huge", 224, 14);
  const MaskForecast kept = ForecastMasks(MaskConfig(), huge, 1, 128, 400).value();
  EXPECT_NEAR(kept.mean.context_patches, 68.9, 1);
  EXPECT_NEAR(kept.p5.context_patches, 53, 2);
  EXPECT_NEAR(kept.p95.context_patches, 86, 2);
  EXPECT_NEAR(kept.mean.target_patches, 44.1, 0.5);
  EXPECT_EQ(kept.p5.target_patches, 35);
  EXPECT_EQ(kept.largest.target_patches, 54);
  EXPECT_GE(kept.largest.context_patches, kept.p95.context_patches);
  const MaskForecast small = ForecastMasks(MaskConfig(), huge, 1, 16, 400).value();
  EXPECT_NEAR(small.mean.context_patches, 81.0, 1.5);
}

// What a run of 8 shards draws, and what a forecast of it says.
TEST(ArithmeticTest, SimulatesMasksThatAreDealtToShards) {
  const ModelConfig model = Model("vit_tiny", 224, 16);
  MaskConfig mask;
  mask.mode = MaskMode::kFixed;
  const MaskForecast apart = ForecastMasks(mask, model, 8, 16, 200).value();
  mask.balance = true;
  const MaskForecast dealt = ForecastMasks(mask, model, 8, 16, 200).value();
  EXPECT_LT(dealt.mean.context_patches, apart.mean.context_patches) << "every shard is cut";
  EXPECT_DOUBLE_EQ(dealt.mean.target_patches, apart.mean.target_patches)
      << "targets are as long as their blocks";
  std::vector<FixedMaskSampler> shards;
  for (int shard = 0; shard < 8; ++shard) shards.emplace_back(mask, MaskGrid{14, 14}, 0, shard);
  double sum = 0;
  for (int step = 0; step < 200; ++step) {
    for (int shard = 0; shard < 8; ++shard) {
      sum += SampleBalanced(shards, {shard}, step, 16).value()[0].context_patches;
    }
  }
  EXPECT_DOUBLE_EQ(dealt.mean.context_patches, sum / (200 * 8));
}

TEST(ArithmeticTest, RefusesToSimulateMasksThatCannotBeDrawn) {
  EXPECT_TRUE(absl::IsInvalidArgument(
      ForecastMasks(MaskConfig(), Model("vit_tiny", 32, 4), 1, 8, 1).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(
      ForecastMasks(MaskConfig(), Model("vit_tiny", 224, 14), 1, 0, 1).status()));
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
