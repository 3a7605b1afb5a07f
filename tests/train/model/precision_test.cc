// bf16 as the autocast of the original does it (ijepa-spec 0.9 and 3), against the same forward
// written out in fp64 with a rounding to bf16 wherever that autocast rounds.
#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <vector>

#include "tests/train/model/spec_fixture.h"
#include "worker/jepa/model/autocast.h"

namespace jepa {
namespace {

using testing::FillFixture;
using testing::FixtureMasks;
using testing::FixtureModel;
using testing::FixturePatches;

at::Tensor Wide(const at::Tensor& x) { return x.detach().to(at::kDouble); }
at::Tensor Rounded(const at::Tensor& x) { return x.to(at::kBFloat16).to(at::kDouble); }

// A linear layer of autocast: operands in bf16, sums wide, the result in bf16.
at::Tensor HalfLinear(const LinearWeights& weights, const at::Tensor& x) {
  return Rounded(at::matmul(Rounded(x), Rounded(Wide(weights.weight)).t()) +
                 Rounded(Wide(weights.bias)));
}

// LayerNorm of autocast: fp32.
at::Tensor WideNorm(const NormWeights& norm, const at::Tensor& x) {
  return at::layer_norm(x, {x.size(1)}, Wide(norm.weight), Wide(norm.bias), kNormEps);
}

// Attention in bf16: operands and result rounded.
at::Tensor HalfAttention(const at::Tensor& qkv, const Sequences& shape) {
  const int64_t width = qkv.size(1) / 3;
  const std::vector<at::Tensor> parts =
      qkv.view({shape.count, shape.tokens, 3, shape.heads, width / shape.heads})
          .permute({2, 0, 3, 1, 4})
          .unbind(0);
  const at::Tensor scores =
      at::matmul(parts[0], parts[1].transpose(-1, -2)) / std::sqrt(parts[0].size(-1));
  const at::Tensor out = at::matmul(at::softmax(scores, -1), parts[2]);
  return Rounded(out.transpose(1, 2).reshape({-1, width}));
}

// A block on wide tokens; `stream` says whether the residual stream is rounded, which it must not.
at::Tensor EmulateBlock(const BlockWeights& block, const Sequences& shape, at::Tensor x,
                        bool stream_rounded) {
  const auto keep = [&](const at::Tensor& sum) { return stream_rounded ? Rounded(sum) : sum; };
  const at::Tensor qkv = HalfLinear(block.qkv, WideNorm(block.norm1, x));
  x = keep(x.add(HalfLinear(block.proj, HalfAttention(qkv, shape))));
  const at::Tensor hidden = Rounded(at::gelu(HalfLinear(block.fc1, WideNorm(block.norm2, x))));
  return keep(x.add(HalfLinear(block.fc2, hidden)));
}

// The target encoder on whole images.
at::Tensor EmulateEncoder(const Networks& networks, const at::Tensor& patches,
                          bool stream_rounded) {
  const EncoderWeights& encoder = networks.encoder();
  const Sequences shape{.count = patches.size(0) / networks.grid_patches(),
                        .tokens = networks.grid_patches(),
                        .heads = encoder.num_heads};
  const LinearWeights patch_embed{encoder.patch_embed.weight.flatten(1), encoder.patch_embed.bias};
  at::Tensor x = HalfLinear(patch_embed, Wide(patches));
  x = x.add(Wide(encoder.pos_embed).repeat({shape.count, 1}));
  for (const BlockWeights& block : encoder.blocks)
    x = EmulateBlock(block, shape, x, stream_rounded);
  return WideNorm(encoder.norm, x);
}

double MeanDistance(const at::Tensor& a, const at::Tensor& b) {
  return Wide(a).sub(Wide(b)).abs().mean().item<double>();
}

class Bf16Test : public ::testing::Test {
 protected:
  Bf16Test() : networks_(FixtureModel(), at::kCPU, Precision::kBf16) {
    FillFixture(&networks_);
    rows_ = MakeStepRows(FixtureMasks(1), 2, 16, at::kCPU);
  }

  Networks networks_;
  StepRows rows_;
};

TEST_F(Bf16Test, RoundsContextTokensWithTheirPositionsAndNoMaskTokens) {
  const PredictorWeights& predictor = networks_.predictor();
  const at::Tensor context = networks_.Context(FixturePatches(), rows_).detach();
  const c10::NoGradGuard no_grad;
  const AutocastScope autocast(Precision::kBf16, at::kCPU);
  const PredictorInput input{
      .shape = rows_.shape, .context = context, .context_positions = rows_.context_positions};
  const at::Tensor tokens = ContextTokens(predictor, input);
  EXPECT_EQ(tokens.scalar_type(), at::kFloat);
  const at::Tensor sum =
      HalfLinear(predictor.embed, Wide(context))
          .add(Wide(predictor.pos_embed).index_select(0, rows_.context_positions));
  // The product's own rounding may fall to the other side now and then.
  EXPECT_GT(Wide(tokens).eq(Rounded(sum)).to(at::kDouble).mean().item<double>(), 0.95);
  EXPECT_TRUE(Wide(tokens).equal(Rounded(Wide(tokens))));
  EXPECT_LT(sum.eq(Rounded(sum)).to(at::kDouble).mean().item<double>(), 0.5);

  const at::Tensor masked = MaskTokens(predictor);
  EXPECT_EQ(masked.scalar_type(), at::kFloat);
  EXPECT_TRUE(masked.equal(predictor.mask_token.view({-1}).add(predictor.pos_embed)));
  EXPECT_LT(Wide(masked).eq(Rounded(Wide(masked))).to(at::kDouble).mean().item<double>(), 0.5);
}

// Products round, the residual stream and LayerNorms do not.
TEST_F(Bf16Test, EncoderIsNearerToTheEmulationThanToOneWithARoundedStream) {
  ModelConfig deep = FixtureModel();
  deep.depth = 6;
  Networks networks(deep, at::kCPU, Precision::kBf16);
  networks.Initialise(InitMode::kClean, 1);
  const at::Tensor patches = FixturePatches();
  const at::Tensor map = networks.TargetMap(patches);
  const double near = MeanDistance(map, EmulateEncoder(networks, patches, false));
  const double far = MeanDistance(map, EmulateEncoder(networks, patches, true));
  std::printf("as the original: %.3g, with a rounded stream: %.3g\n", near, far);
  EXPECT_LT(near, 0.5 * far);
}

TEST_F(Bf16Test, KeepsNormsResidualsAndLossInFp32AndPredictsInBf16) {
  const at::Tensor patches = FixturePatches();
  const at::Tensor context = networks_.Context(patches, rows_);
  EXPECT_EQ(context.scalar_type(), at::kFloat);  // The final LayerNorm.
  EXPECT_EQ(networks_.Targets(patches, rows_).scalar_type(), at::kFloat);
  EXPECT_EQ(networks_.TargetMap(patches).scalar_type(), at::kFloat);
  EXPECT_EQ(networks_.Predict(context, rows_).scalar_type(), at::kBFloat16);
  const at::Tensor loss = networks_.Loss(patches, rows_);
  EXPECT_EQ(loss.scalar_type(), at::kFloat);
  loss.backward();
  EXPECT_EQ(networks_.storage().grad.scalar_type(), at::kFloat);
}

TEST_F(Bf16Test, GradientsPointWhereThoseOfFp32Do) {
  const at::Tensor patches = FixturePatches();
  Networks exact(FixtureModel(), at::kCPU, Precision::kFp32);
  exact.Initialise(InitMode::kClean, 1);
  networks_.Initialise(InitMode::kClean, 1);
  exact.Loss(patches, rows_).backward();
  networks_.Loss(patches, rows_).backward();
  const at::Tensor a = Wide(exact.storage().grad), b = Wide(networks_.storage().grad);
  EXPECT_GT((a.dot(b) / (a.norm() * b.norm())).item<double>(), 0.99);
}

}  // namespace
}  // namespace jepa
