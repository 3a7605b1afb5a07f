// Position tables on other grids.
#include "worker/jepa/exchange/regrid.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <memory>

#include "tests/exchange/sample_state.h"
#include "worker/jepa/plan/arithmetic.h"

namespace jepa::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(RegridTest, KnowsTheSinCosTable) {
  std::vector<float> table = PositionTable(3, 5, 8);
  EXPECT_TRUE(IsSinCosTable(table, {3, 5}, 8));
  EXPECT_FALSE(IsSinCosTable(table, {5, 3}, 8));
  table[17] += 1e-4f;
  EXPECT_FALSE(IsSinCosTable(table, {3, 5}, 8));
  EXPECT_FALSE(IsSinCosTable({1, 2, 3}, {1, 1}, 3));
}

TEST(RegridTest, RecognisesTheGridOfASinCosTable) {
  for (const int height : {1, 2, 4, 8, 12, 16}) {
    for (const int width : {1, 3, 4, 16, 20}) {
      const auto grid = SinCosGrid(PositionTable(height, width, 8), 8);
      ASSERT_TRUE(grid.has_value()) << height << "x" << width;
      EXPECT_EQ(grid->height, height);
      EXPECT_EQ(grid->width, width);
    }
  }
  std::vector<float> table = PositionTable(4, 16, 8);
  table.back() += 1e-4f;
  EXPECT_FALSE(SinCosGrid(table, 8).has_value());
  EXPECT_FALSE(SinCosGrid({1, 2, 3}, 3).has_value());
}

TEST(RegridTest, InterpolationKeepsConstantsAndTheGridItself) {
  const std::vector<float> same(3 * 4 * 2, 0.25f);
  for (const float value : InterpolateTable(same, {3, 4}, {7, 5}, 2)) {
    EXPECT_NEAR(value, 0.25f, 1e-6f);
  }
  const std::vector<float> table = PositionTable(4, 4, 8);
  const std::vector<float> again = InterpolateTable(table, {4, 4}, {4, 4}, 8);
  for (size_t i = 0; i < table.size(); ++i) EXPECT_NEAR(again[i], table[i], 1e-6f);
}

// torch.nn.functional.interpolate(x, size=(1, 4), mode="bicubic") of [[0, 1, 4]] in float32.
TEST(RegridTest, InterpolatesAsTorchDoes) {
  const std::vector<float> out = InterpolateTable({0, 1, 4}, {1, 3}, {1, 4}, 1);
  const std::vector<float> expected = {-0.07177734375f, 0.31005859375f, 2.19091796875f,
                                       4.21533203125f};
  ASSERT_EQ(out.size(), expected.size());
  for (size_t i = 0; i < out.size(); ++i) EXPECT_NEAR(out[i], expected[i], 1e-5f) << i;
}

TEST(RegridTest, SinCosTablesAreMadeAnewAndOthersAreInterpolatedAndNamed) {
  auto sample = std::make_unique<SampleState>();
  std::vector<float> learnt(16 * 16);
  for (size_t i = 0; i < learnt.size(); ++i) learnt[i] = static_cast<float>(std::cos(0.1 * i));
  sample->replaced_["encoder/pos_embed"] = learnt;
  const auto state = OnGrid(std::move(sample), {5, 6});
  ASSERT_TRUE(state.ok()) << state.status();
  EXPECT_EQ(ValuesOf(**state, "target_encoder/pos_embed"), PositionTable(5, 6, 16));
  EXPECT_EQ(ValuesOf(**state, "encoder/pos_embed"), InterpolateTable(learnt, {4, 4}, {5, 6}, 16));
  ASSERT_EQ((*state)->info().notes.size(), 1u);
  EXPECT_THAT((*state)->info().notes[0],
              HasSubstr("encoder/pos_embed is not the sin-cos table; it was interpolated"));
  EXPECT_EQ((*state)->tensors().at("predictor/predictor_pos_embed"),
            (std::vector<int64_t>{1, 30, 8}));
  EXPECT_EQ(ValuesOf(**state, "encoder/norm.bias"), ValuesOf(SampleState(), "encoder/norm.bias"));
}

TEST(RegridTest, OnTheirOwnGridTablesStayAsTheyAre) {
  auto sample = std::make_unique<SampleState>();
  sample->replaced_["encoder/pos_embed"] = std::vector<float>(16 * 16, 2.0f);
  const auto state = OnGrid(std::move(sample), {4, 4});
  ASSERT_TRUE(state.ok());
  EXPECT_EQ(ValuesOf(**state, "encoder/pos_embed"), std::vector<float>(16 * 16, 2.0f));
  EXPECT_THAT((*state)->info().notes, IsEmpty());
}

}  // namespace
}  // namespace jepa::testing
