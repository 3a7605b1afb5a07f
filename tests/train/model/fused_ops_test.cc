// The fused path on a CPU, by the kernels' twins: the same autograd Functions, types and wiring
// that a GPU takes, against LibTorch's operators.
#include "worker/jepa/model/fused_ops.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include <vector>

#include "tests/train/model/learner_fixture.h"
#include "worker/jepa/model/attention.h"
#include "worker/jepa/model/linear.h"
#include "worker/jepa/model/networks.h"
#include "worker/jepa/model/optimizer.h"
#include "worker/jepa/model/patches.h"
#include "worker/jepa/model/shard_pass.h"

namespace jepa {
namespace {

at::Tensor Leaf(at::IntArrayRef shape) { return at::randn(shape).set_requires_grad(true); }
at::Tensor CopyOf(const at::Tensor& leaf) {
  return leaf.detach().clone().set_requires_grad(leaf.requires_grad());
}

void ExpectClose(const at::Tensor& actual, const at::Tensor& expected, double tolerance) {
  ASSERT_TRUE(actual.defined());
  ASSERT_TRUE(expected.defined());
  ASSERT_EQ(actual.sizes(), expected.sizes());
  const double worst =
      actual.to(at::kDouble).sub(expected.to(at::kDouble)).abs().max().item<double>();
  EXPECT_LE(worst, tolerance);
}

// Both outputs of AddNorm weighted by random numbers: every gradient is exercised.
at::Tensor Weighted(const NormedRows& rows, const at::Tensor& weights) {
  return (rows.sum.to(at::kFloat) * weights[0]).sum() +
         (rows.normed.to(at::kFloat) * weights[1]).sum();
}

TEST(FusedAddNormTest, EqualsAdditionAndLayerNormWithTheirGradients) {
  at::manual_seed(1);
  for (bool with_branch : {true, false}) {
    const at::Tensor x = Leaf({7, 24}), branch = Leaf({7, 24}), weight = Leaf({24}),
                     bias = Leaf({24}), weights = at::randn({2, 7, 24});
    const at::Tensor x2 = CopyOf(x), branch2 = CopyOf(branch);
    NormWeights plain{.weight = weight, .bias = bias};
    NormWeights fused{.weight = CopyOf(weight), .bias = CopyOf(bias), .fused = true};
    const NormedRows expected = AddNorm(plain, {x, with_branch ? branch : at::Tensor()});
    const NormedRows actual = AddNorm(fused, {x2, with_branch ? branch2 : at::Tensor()});
    ExpectClose(actual.sum, expected.sum, 0);
    ExpectClose(actual.normed, expected.normed, 2e-6);
    Weighted(expected, weights).backward();
    Weighted(actual, weights).backward();
    ExpectClose(x2.grad(), x.grad(), 5e-6);
    if (with_branch) ExpectClose(branch2.grad(), branch.grad(), 5e-6);
    ExpectClose(fused.weight.grad(), weight.grad(), 1e-5);
    ExpectClose(fused.bias.grad(), bias.grad(), 1e-5);
  }
}

TEST(FusedAddNormTest, AddsParameterGradientsToTheBuffersItIsGiven) {
  at::manual_seed(2);
  const at::Tensor x = Leaf({5, 16});
  NormWeights plain{.weight = Leaf({16}), .bias = Leaf({16})};
  NormWeights fused{.weight = CopyOf(plain.weight),
                    .bias = CopyOf(plain.bias),
                    .weight_grad = at::ones({16}),
                    .bias_grad = at::ones({16}),
                    .fused = true};
  AddNorm(plain, {x, {}}).normed.square().sum().backward();
  AddNorm(fused, {CopyOf(x), {}}).normed.square().sum().backward();
  ExpectClose(fused.weight_grad, plain.weight.grad() + 1, 1e-5);
  ExpectClose(fused.bias_grad, plain.bias.grad() + 1, 1e-5);
  EXPECT_FALSE(fused.weight.grad().defined());
}

TEST(FusedAddNormTest, RoundsNormedRowsAndBranchGradientOnce) {
  at::manual_seed(3);
  const at::Tensor x = Leaf({6, 32});
  const at::Tensor branch = at::randn({6, 32}).to(at::kBFloat16).set_requires_grad(true);
  NormWeights norm{.weight = Leaf({32}), .bias = Leaf({32}), .fused = true, .bf16_out = true};
  const NormedRows actual = AddNorm(norm, {x, branch});
  EXPECT_EQ(actual.sum.scalar_type(), at::kFloat);
  EXPECT_EQ(actual.normed.scalar_type(), at::kBFloat16);
  const at::Tensor exact = at::layer_norm(x + branch, {32}, norm.weight, norm.bias, kNormEps);
  ExpectClose(actual.normed, exact.to(at::kBFloat16), 0.016);  // A step of bf16 at 2 to 4.
  actual.normed.to(at::kFloat).square().sum().backward();
  EXPECT_EQ(x.grad().scalar_type(), at::kFloat);
  EXPECT_EQ(branch.grad().scalar_type(), at::kBFloat16);
  ExpectClose(branch.grad(), x.grad().to(at::kBFloat16), 0);
}

// The S4 rung of the GPU bench: x is rounded where it is stored, not where it is normed.
TEST(FusedAddNormTest, KeepsABf16StreamWhereAskedTo) {
  at::manual_seed(8);
  const at::Tensor x = at::randn({6, 32}).to(at::kBFloat16).set_requires_grad(true);
  const at::Tensor branch = at::randn({6, 32}).to(at::kBFloat16).set_requires_grad(true);
  NormWeights norm{.weight = Leaf({32}), .bias = Leaf({32}), .fused = true, .bf16_sum = true};
  const NormedRows rows = AddNorm(norm, {x, branch});
  const at::Tensor exact = x.detach().to(at::kFloat) + branch.detach().to(at::kFloat);
  ExpectClose(rows.sum, exact.to(at::kBFloat16), 0);
  ExpectClose(rows.normed, at::layer_norm(exact, {32}, norm.weight, norm.bias, kNormEps), 2e-6);
  (rows.normed.sum() + rows.sum.to(at::kFloat).square().sum()).backward();
  EXPECT_EQ(x.grad().scalar_type(), at::kBFloat16);
  ExpectClose(branch.grad(), x.grad(), 0);
  EXPECT_GT(x.grad().to(at::kFloat).norm().item<double>(), 1);
}

TEST(DirectLinearTest, EqualsALinearLayerAndSumsItsGradientsInPlace) {
  at::manual_seed(4);
  const at::Tensor x = Leaf({9, 12});
  LinearWeights plain{.weight = Leaf({16, 12}), .bias = Leaf({16})};
  LinearWeights direct{.weight = CopyOf(plain.weight),
                       .bias = CopyOf(plain.bias),
                       .weight_grad = at::full({16, 12}, 2.0f),
                       .bias_grad = at::full({16}, 3.0f)};
  const at::Tensor x2 = CopyOf(x);
  // Three more columns of zeros, as bf16 patches have.
  const at::Tensor out = Linear(direct, at::constant_pad_nd(x2, {0, 3}));
  const at::Tensor expected = at::linear(x, plain.weight, plain.bias);
  ExpectClose(out, expected, 1e-6);
  out.square().sum().backward();
  expected.square().sum().backward();
  ExpectClose(x2.grad(), x.grad(), 1e-4);
  ExpectClose(direct.weight_grad, plain.weight.grad() + 2, 1e-4);
  ExpectClose(direct.bias_grad, plain.bias.grad() + 3, 1e-4);
}

TEST(DirectLinearTest, MultipliesInBf16FromTheKeptCopies) {
  at::manual_seed(5);
  const at::Tensor x = Leaf({9, 16}), weight = Leaf({8, 16}), bias = Leaf({8});
  const LinearWeights direct{.weight = weight,
                             .bias = bias,
                             .weight_bf16 = weight.detach().to(at::kBFloat16),
                             .bias_bf16 = bias.detach().to(at::kBFloat16)};
  const at::Tensor out = Linear(direct, x);
  EXPECT_EQ(out.scalar_type(), at::kBFloat16);
  out.to(at::kFloat).sum().backward();
  EXPECT_EQ(weight.grad().scalar_type(), at::kFloat);
  // The gradient of the weight: fp32 sums of the bf16 factors.
  ExpectClose(weight.grad(), x.detach().to(at::kBFloat16).to(at::kFloat).sum(0).expand({8, 16}),
              1e-5);
  ExpectClose(bias.grad(), at::full({8}, 9.0f), 0);
}

TEST(LinearGeluTest, FusedEqualsPlainWithItsGradients) {
  at::manual_seed(6);
  const at::Tensor x = Leaf({11, 12});
  LinearWeights plain{.weight = Leaf({24, 12}), .bias = Leaf({24})};
  LinearWeights fused{.weight = CopyOf(plain.weight),
                      .bias = CopyOf(plain.bias),
                      .weight_grad = at::zeros({24, 12}),
                      .bias_grad = at::zeros({24}),
                      .fused_gelu = true};
  const at::Tensor x2 = CopyOf(x);
  const at::Tensor expected = at::gelu(at::linear(x, plain.weight, plain.bias));
  const at::Tensor actual = LinearGelu(fused, x2);
  ExpectClose(actual, expected, 2e-6);
  expected.square().sum().backward();
  actual.square().sum().backward();
  ExpectClose(x2.grad(), x.grad(), 1e-3);
  ExpectClose(fused.weight_grad, plain.weight.grad(), 1e-3);
  ExpectClose(fused.bias_grad, plain.bias.grad(), 1e-3);
}

TEST(TakeRowsTest, FusedEqualsIndexSelectWithItsGradient) {
  at::manual_seed(7);
  const at::Tensor x = Leaf({5, 16}), x2 = CopyOf(x), weights = at::randn({6, 16});
  RowChoice choice(at::tensor(std::vector<int32_t>{4, 0, 0, 2, 4, 4}, at::kInt));
  choice.starts = at::tensor(std::vector<int32_t>{0, 2, 2, 3, 3, 6}, at::kInt);
  choice.order = at::tensor(std::vector<int32_t>{1, 2, 3, 0, 4, 5}, at::kInt);
  const at::Tensor expected = TakeRows(x, RowChoice(choice.rows));
  const at::Tensor actual = TakeRows(x2, choice);
  ExpectClose(actual, expected, 0);
  (expected * weights).sum().backward();
  (actual * weights).sum().backward();
  ExpectClose(x2.grad(), x.grad(), 1e-6);
}

TEST(AttentionOrderTest, PutsCudnnFirstAndMathLast) {
  SetCudaAttentionOrder();
  const auto order = at::globalContext().sDPPriorityOrder();
  EXPECT_EQ(order[0], at::SDPBackend::cudnn_attention);
  EXPECT_EQ(order[1], at::SDPBackend::flash_attention);
  EXPECT_EQ(order[2], at::SDPBackend::efficient_attention);
  EXPECT_EQ(order[3], at::SDPBackend::math);
}

// A whole step of a small model, twice: plain, and with all kernels.
struct StepResult {
  double loss = 0;
  at::Tensor grad;
};

StepResult RunStep(Precision precision, const KernelChoice& kernels, bool checkpointing = false) {
  const TrainConfig config = testing::SmallConfig();
  Networks networks(config.model, at::kCPU, precision, kernels);
  networks.SetActivationCheckpointing(checkpointing);
  networks.Initialise(config.init, config.seed);
  const Batch batch = testing::RandomBatch(config, 3, /*seed=*/1);
  const StepRows rows = MakeStepRows(testing::SmallMasks(3), 3, networks.grid_patches(), at::kCPU,
                                     networks.kernels());
  const at::Tensor pixels = PixelsToDevice(config.model, batch.pixels.data(), 3, at::kCPU);
  const at::Tensor loss =
      networks.Loss(UnfoldedPixels(config.model, pixels, networks.patch_type()), rows);
  loss.backward();
  return {.loss = loss.item<double>(), .grad = networks.storage().grad.clone()};
}

double Relative(const at::Tensor& a, const at::Tensor& b) {
  return (a - b).norm().item<double>() / b.norm().item<double>();
}

TEST(FusedStepTest, EqualsThePlainStepInFp32) {
  const StepResult plain = RunStep(Precision::kFp32, {});
  const StepResult fused = RunStep(Precision::kFp32, KernelChoice::All());
  EXPECT_NEAR(fused.loss, plain.loss, 1e-6);
  EXPECT_GT(plain.grad.norm().item<double>(), 1e-2);
  EXPECT_LT(Relative(fused.grad, plain.grad), 1e-5);
  ExpectClose(fused.grad, plain.grad, 1e-6);
}

// The kernels add weight gradients to their buffers themselves: the pass that is thrown away must
// not, the one that is run again must do it once.
TEST(FusedStepTest, ActivationCheckpointingGivesTheSameBits) {
  for (const Precision precision : {Precision::kFp32, Precision::kBf16}) {
    const StepResult plain = RunStep(precision, KernelChoice::All());
    const StepResult again = RunStep(precision, KernelChoice::All(), /*checkpointing=*/true);
    EXPECT_EQ(again.loss, plain.loss);
    ExpectClose(again.grad, plain.grad, 0);
  }
}

TEST(ShardPassTest, AddsScaledGradientsAndGivesTheLoss) {
  const StepResult expected = RunStep(Precision::kFp32, KernelChoice::All());
  const TrainConfig config = testing::SmallConfig();
  Networks networks(config.model, at::kCPU, Precision::kFp32, KernelChoice::All());
  networks.Initialise(config.init, config.seed);
  ShardPass pass(&networks, CudaGraphs::kOn);
  const Batch batch = testing::RandomBatch(config, 3, /*seed=*/1);
  for (int i = 0; i < 4; ++i) {
    const at::Tensor loss = pass.Run(batch.pixels.data(), 3, testing::SmallMasks(3), 0.25);
    EXPECT_EQ(loss.item<double>(), expected.loss);
  }
  ExpectClose(networks.storage().grad, expected.grad, 1e-6);
  EXPECT_EQ(pass.graphs(), 0u);  // There are none on a CPU.
}

TEST(GraphPaysTest, ForSmallModelsAndBatchesOnly) {
  const PredictorShape shape{.images = 16,
                             .context_blocks = 1,
                             .context_patches = 80,
                             .target_blocks = 4,
                             .target_patches = 36};
  const ModelConfig small{.grid_height = 14,
                          .grid_width = 14,
                          .embed_dim = 384,
                          .depth = 12,
                          .num_heads = 6,
                          .mlp_hidden = 1536,
                          .pred_depth = 6,
                          .pred_embed_dim = 384,
                          .pred_mlp_hidden = 1536};
  ModelConfig huge = small;
  huge.embed_dim = 1280;
  huge.depth = 32;
  huge.mlp_hidden = 5120;
  huge.pred_depth = 12;
  PredictorShape many = shape;
  many.images = 128;
  EXPECT_TRUE(GraphPays(small, shape));
  EXPECT_FALSE(GraphPays(huge, many));
}

// Rounding differs in places (KernelChoice says where), the types must not: both are as far from
// fp32 as bf16 is.
TEST(FusedStepTest, IsAsCloseToFp32AsAutocastIs) {
  const StepResult exact = RunStep(Precision::kFp32, {});
  const StepResult autocast = RunStep(Precision::kBf16, {});
  const StepResult fused = RunStep(Precision::kBf16, KernelChoice::All());
  const double theirs = Relative(autocast.grad, exact.grad);
  const double ours = Relative(fused.grad, exact.grad);
  EXPECT_NE(fused.loss, exact.loss);
  EXPECT_NEAR(fused.loss, exact.loss, 0.01 * exact.loss);
  EXPECT_LT(ours, 0.05);
  EXPECT_LT(ours, 1.5 * theirs);
}

TEST(FusedStepTest, KeepsTheBf16CopiesTrueOverSteps) {
  const TrainConfig config = testing::SmallConfig();
  Networks networks(config.model, at::kCPU, Precision::kBf16, KernelChoice::All());
  networks.Initialise(config.init, config.seed);
  FlatStorage& storage = networks.storage();
  ExpectClose(storage.params_bf16, storage.params.to(at::kBFloat16), 0);
  Optimizer optimizer(&storage, 0.9, 0.95);
  storage.grad.fill_(0.1);
  optimizer.Step({.lr = 0.1, .weight_decay = 0.05, .ema_momentum = 0.5});
  ExpectClose(storage.params_bf16, storage.params.to(at::kBFloat16), 0);
  ExpectClose(storage.target_bf16, storage.target.to(at::kBFloat16), 0);
  EXPECT_GT(storage.params_bf16.norm().item<double>(), 0);
}

// The update of a GPU, by the kernel's twin on the ranges that the GPU is given.
TEST(UpdateRangesTest, MakeTheStepOfTheCpuOptimizer) {
  const TrainConfig config = testing::SmallConfig();
  Networks ours(config.model, at::kCPU, Precision::kBf16, KernelChoice::All());
  Networks theirs(config.model, at::kCPU, Precision::kBf16, KernelChoice::All());
  at::manual_seed(4);
  const at::Tensor gradient = at::randn({ours.storage().count()});
  for (Networks* networks : {&ours, &theirs}) {
    networks->Initialise(config.init, config.seed);
    networks->storage().target.add_(0.5);  // So that the place in target shows.
    networks->storage().grad.narrow(0, 0, gradient.size(0)).copy_(gradient);
  }
  Optimizer optimizer(&theirs.storage(), 0.9, 0.95);
  optimizer.Step({.lr = 1e-2, .weight_decay = 0.1, .ema_momentum = 0.75});

  std::vector<double> partial(kNormPartials);
  const float loss = 0.5f;
  UpdateState state;
  GradientNormOnHost(ours.storage().grad.data_ptr<float>(), ours.storage().count(), partial.data());
  PrepareUpdateOnHost({.lr = 1e-2,
                       .beta1 = 0.9,
                       .beta2 = 0.95,
                       .weight_decay = 0.1,
                       .eps = kAdamEps,
                       .ema_weight = 0.25},
                      partial.data(), &loss, &state);
  for (const AdamwEmaRange& range : UpdateRanges(ours.storage())) AdamwEmaOnHost(range, state);
  const FlatStorage &actual = ours.storage(), &expected = theirs.storage();
  ExpectClose(actual.params, expected.params, 1e-6);
  ExpectClose(actual.exp_avg, expected.exp_avg, 1e-6);
  ExpectClose(actual.exp_avg_sq, expected.exp_avg_sq, 1e-6);
  ExpectClose(actual.target, expected.target, 1e-6);
  ExpectClose(actual.params_bf16, actual.params.to(at::kBFloat16), 0);
  ExpectClose(actual.target_bf16, actual.target.to(at::kBFloat16), 0);
}

}  // namespace
}  // namespace jepa
