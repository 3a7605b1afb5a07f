// The networks against a fixture of the reference (ijepa-spec 1.6) and against a plain, unoptimised
// forward of the same weights.
#include "worker/jepa/model/networks.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/from_blob.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "tests/train/model/spec_fixture.h"
#include "worker/jepa/model/optimizer.h"
#include "worker/jepa/model/patches.h"

namespace jepa {
namespace {

using testing::FillFixture;
using testing::FixtureMasks;
using testing::FixtureModel;
using testing::FixturePatches;

// Numbers of the table in ijepa-spec 1.6.
struct FixtureNumbers {
  int context_blocks;
  double context_mean_abs;
  double first[3];  // Prediction of the first token.
  double last[3];   // Prediction of the last token.
  double loss;
  double encoder_gradient;
  double predictor_gradient;
  double stepped[3];  // encoder blocks.1.attn.proj.weight[0, :3] after one AdamW step.
};

constexpr FixtureNumbers kFixtures[] = {
    {1,
     0.8410928441,
     {-0.6464604139, -1.4896857738, -1.8130568266},
     {-0.3431722820, -1.2781416178, -1.7680320740},
     1.064225912,
     0.75865485,
     26.70997191,
     {0.1734012365, -0.1210223362, -0.1422769725}},
    {2,
     0.8389394828,
     {-0.6464604139, -1.4896857738, -1.8130568266},
     {-0.3534995616, -1.2785874605, -1.7604943514},
     1.065001965,
     0.71733709,
     26.73039224,
     {0.1734012365, -0.1210223585, -0.1422769576}},
};

void ExpectFirstThree(const at::Tensor& row, const double (&expected)[3], double tolerance) {
  for (int i = 0; i < 3; ++i) {
    EXPECT_NEAR(row.view({-1})[i].item<double>(), expected[i], tolerance * std::abs(expected[i]))
        << i;
  }
}

double GradientNorm(const Networks& networks, bool encoder) {
  const FlatStorage& storage = networks.storage();
  double squares = 0;
  for (const FlatParameter& parameter : storage.parameters()) {
    if (parameter.encoder != encoder) continue;
    squares += storage.View(storage.grad, parameter).to(at::kDouble).square().sum().item<double>();
  }
  return std::sqrt(squares);
}

void CheckFixture(const FixtureNumbers& expected) {
  Networks networks(FixtureModel(), at::kCPU, Precision::kFp32);
  FillFixture(&networks);
  const at::Tensor patches = FixturePatches();
  const StepRows rows = MakeStepRows(FixtureMasks(expected.context_blocks), 2, 16, at::kCPU);
  ExpectFirstThree(networks.TargetMap(patches)[0], {-1.5295687914, -0.8000804782, -1.4318479300},
                   1e-5);
  const at::Tensor context = networks.Context(patches, rows);
  EXPECT_NEAR(context.abs().mean().item<double>(), expected.context_mean_abs,
              1e-5 * expected.context_mean_abs);
  const at::Tensor predictions = networks.Predict(context, rows);
  // [6, 2, 192] and [12, 2, 192] of the table.
  EXPECT_EQ(predictions.size(0), 6 * expected.context_blocks * 2);
  EXPECT_EQ(predictions.size(1), 192);
  ExpectFirstThree(predictions[0], expected.first, 1e-5);
  ExpectFirstThree(predictions[-1], expected.last, 1e-5);

  const at::Tensor loss = networks.Loss(patches, rows);
  EXPECT_NEAR(loss.item<double>(), expected.loss, 1e-5 * expected.loss);
  loss.backward();
  EXPECT_NEAR(GradientNorm(networks, true), expected.encoder_gradient,
              1e-5 * expected.encoder_gradient);
  EXPECT_NEAR(GradientNorm(networks, false), expected.predictor_gradient,
              1e-5 * expected.predictor_gradient);

  Optimizer optimizer(&networks.storage(), 0.9, 0.999);
  optimizer.Step({.lr = 2.4e-4, .weight_decay = 0.040231028709, .ema_momentum = 0.996});
  const FlatParameter& proj = networks.storage().Find("encoder/blocks.1.attn.proj.weight");
  ExpectFirstThree(proj.value, expected.stepped, 1e-6);
  ExpectFirstThree(proj.target, {0.1736419499, -0.1207845062, -0.1425173581}, 1e-6);
  ExpectFirstThree(networks.storage().Find("predictor/mask_token").value,
                   {-0.0002399997, 0.1980910450, -0.0513477251}, 1e-5);
}

TEST(NetworksTest, MatchesTheFixtureWithOneContextBlock) { CheckFixture(kFixtures[0]); }

TEST(NetworksTest, MatchesTheFixtureWithTwoContextBlocks) { CheckFixture(kFixtures[1]); }

// Every block on every token, the predictor's sequences built token by token.
at::Tensor PlainPredictor(const PredictorWeights& predictor, const at::Tensor& context,
                          const MaskBatch& masks, int64_t images) {
  const int64_t kept = masks.context_patches, hidden = masks.target_patches;
  std::vector<at::Tensor> sequences;
  for (const auto& target : masks.target) {
    for (size_t e = 0; e < masks.context.size(); ++e) {
      for (int64_t b = 0; b < images; ++b) {
        for (int64_t k = 0; k < kept; ++k) {
          const int64_t patch = masks.context[e][b * kept + k];
          const int64_t row = (static_cast<int64_t>(e) * images + b) * kept + k;
          sequences.push_back(
              Linear(predictor.embed, context[row].unsqueeze(0)).add(predictor.pos_embed[patch]));
        }
        for (int64_t k = 0; k < hidden; ++k) {
          sequences.push_back(predictor.pos_embed[target[b * hidden + k]]
                                  .add(predictor.mask_token.view({-1}))
                                  .unsqueeze(0));
        }
      }
    }
  }
  const int64_t count = static_cast<int64_t>(masks.target.size() * masks.context.size()) * images;
  at::Tensor x = at::cat(sequences);
  for (const BlockWeights& block : predictor.blocks) {
    const Stream stream = RunBlock(
        block, {.count = count, .tokens = kept + hidden, .heads = predictor.num_heads}, {x, {}});
    x = stream.residual.add(stream.branch);
  }
  x = x.view({count, kept + hidden, -1}).narrow(1, kept, hidden).reshape({count * hidden, -1});
  return Linear(predictor.proj, LayerNorm(predictor.norm, x));
}

TEST(NetworksTest, PredictorSavingsChangeNothing) {
  for (int depth : {1, 2, 3}) {
    ModelConfig model = FixtureModel();
    model.pred_depth = depth;
    Networks networks(model, at::kCPU, Precision::kFp32);
    FillFixture(&networks);
    const MaskBatch masks = FixtureMasks(2);
    const StepRows rows = MakeStepRows(masks, 2, 16, at::kCPU);
    const at::Tensor context = networks.Context(FixturePatches(), rows);
    const at::Tensor expected = PlainPredictor(networks.predictor(), context, masks, 2);
    EXPECT_LT(networks.Predict(context, rows).sub(expected).abs().max().item<double>(), 2e-5)
        << depth;
  }
}

TEST(NetworksTest, TargetsOfTheUnionEqualThoseOfTheWholeMap) {
  Networks networks(FixtureModel(), at::kCPU, Precision::kFp32);
  FillFixture(&networks);
  const at::Tensor patches = FixturePatches();
  const MaskBatch masks = FixtureMasks(2);
  const StepRows rows = MakeStepRows(masks, 2, 16, at::kCPU);
  const at::Tensor targets = networks.Targets(patches, rows);
  const at::Tensor map = networks.TargetMap(patches);
  EXPECT_FALSE(targets.requires_grad());
  int64_t row = 0;
  for (const auto& target : masks.target) {
    for (int e = 0; e < 2; ++e) {
      for (size_t i = 0; i < target.size(); ++i) {
        const at::Tensor token = map[static_cast<int64_t>(i) / 2 * 16 + target[i]];
        const at::Tensor expected =
            token.sub(token.mean()).div(token.var(/*unbiased=*/false).add(1e-5).sqrt());
        EXPECT_LT(targets[row++].sub(expected).abs().max().item<double>(), 1e-5);
      }
    }
  }
  EXPECT_EQ(row, targets.size(0));
}

TEST(PatchesTest, PixelsAndNormalisedImagesGiveTheSamePatches) {
  ModelConfig model = FixtureModel();
  std::vector<uint8_t> pixels(2 * 3 * 64 * 64);
  for (size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<uint8_t>(i * 37 % 251);
  const std::vector<float> mean = {0.485f, 0.456f, 0.406f}, std = {0.229f, 0.224f, 0.225f};
  const auto channel = [](const std::vector<float>& values) {
    return at::from_blob(const_cast<float*>(values.data()), {1, 3, 1, 1}, at::kFloat);
  };
  const at::Tensor images = at::from_blob(pixels.data(), {2, 3, 64, 64}, at::kByte)
                                .to(at::kFloat)
                                .div(255.0)
                                .sub(channel(mean))
                                .div(channel(std));
  const at::Tensor patches = PatchesOfPixels(model, pixels.data(), 2, at::kCPU);
  EXPECT_TRUE(patches.equal(PatchesOfImages(model, images)));
}

TEST(PatchesTest, TakeTheChannelsDepthAndStatisticsOfTheModel) {
  ModelConfig model;
  model.grid_height = 2;
  model.grid_width = 3;
  model.patch_size = 4;
  model.channels = 2;
  model.scale = {16, {0.25, 0.5}, {0.5, 2.0}};
  std::vector<uint16_t> values(2 * 2 * 8 * 12);
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<uint16_t>(i * 40503);
  const auto* pixels = reinterpret_cast<const uint8_t*>(values.data());
  const at::Tensor patches = PatchesOfPixels(model, pixels, 2, at::kCPU);
  EXPECT_EQ(patches.sizes(), at::IntArrayRef({12, 32}));
  EXPECT_EQ(patches[0][0].item<float>(), (static_cast<float>(values[0]) / 65535 - 0.25f) / 0.5f);
  EXPECT_EQ(patches[0][16].item<float>(), (static_cast<float>(values[96]) / 65535 - 0.5f) / 2.0f);
  const at::Tensor other =
      UnfoldedPixels(model, PixelsToDevice(model, pixels, 2, at::kCPU), at::kFloat);
  EXPECT_TRUE(patches.equal(other));
}

}  // namespace
}  // namespace jepa
