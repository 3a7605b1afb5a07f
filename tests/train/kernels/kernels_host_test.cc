// The kernels' arithmetic and indices, run thread by thread on the host, against fp64 references:
// what can be known of them without a GPU. The same samples run on a GPU in kernels_gpu_test.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "tests/train/kernels/samples.h"
#include "worker/jepa/kernels/adamw_ema.h"
#include "worker/jepa/kernels/add_norm.h"
#include "worker/jepa/kernels/bias_gelu.h"
#include "worker/jepa/kernels/rows.h"
#include "worker/jepa/kernels/unfold_pixels.h"

namespace jepa {
namespace {

using testing::AddNormReference;
using testing::AddNormSample;
using testing::HalfBf16Step;
using testing::MakeAddNormSample;
using testing::Numbers;
using testing::ReferenceAddNorm;
using testing::ReferenceGelu;
using testing::ReferenceGeluSlope;
using testing::Rounded;
using testing::Widened;

struct Shape {
  int64_t rows;
  int64_t width;
};

// One thread, idle threads, several warps; one row, rows that are no multiple of anything.
constexpr Shape kShapes[] = {{1, 8},
                             {5, 24},
                             {3, 192},
                             {37, 384},
                             {7, 1280},
                             {2, 1408},
                             // Two rows for a block, and more rows than blocks.
                             {1100, 1280},
                             {2200, 8}};

TEST(ElementTest, RoundsToBf16AsIeeeDoes) {
  const float infinity = std::numeric_limits<float>::infinity();
  for (float exact : {0.0f, -0.0f, 1.0f, -2.5f, 3.3895314e38f, infinity, -infinity}) {
    Bf16 bf16;
    Convert(exact, &bf16);
    EXPECT_EQ(ToFloat(bf16), exact);
  }
  const auto rounded = [](float value) {
    Bf16 bf16;
    Convert(value, &bf16);
    return ToFloat(bf16);
  };
  EXPECT_EQ(rounded(1 + 1.0f / 256), 1.0f);             // A tie, to even: down.
  EXPECT_EQ(rounded(1 + 3.0f / 256), 1 + 4.0f / 256);   // A tie, to even: up.
  EXPECT_EQ(rounded(1 + 1.01f / 256), 1 + 2.0f / 256);  // Above the tie.
  EXPECT_EQ(rounded(-(1 + 3.0f / 256)), -1 - 4.0f / 256);
  EXPECT_EQ(rounded(3.4e38f), infinity);
  EXPECT_TRUE(std::isnan(rounded(std::numeric_limits<float>::quiet_NaN())));
}

struct AddNormResult {
  std::vector<float> sum, normed, grad_residual, grad_branch, grad_gamma, grad_beta;
};

// Runs both passes with branch, normed rows and their gradients in `type`.
template <typename T>
AddNormResult RunAddNorm(const AddNormSample& s, FloatType type, const std::vector<T>& branch,
                         const std::vector<T>& grad_normed) {
  const int64_t count = s.rows * s.width;
  AddNormResult out;
  out.sum.resize(count), out.grad_residual.resize(count);
  out.grad_gamma.assign(s.width, 0.5f), out.grad_beta.assign(s.width, 0.25f);
  std::vector<T> normed(count);
  std::vector<Bf16> grad_branch(count);
  std::vector<float> mean(s.rows), rstd(s.rows);
  std::vector<float> partial(AddNormPartials(s.rows, s.width) * 2 * s.width, NAN);
  AddNormOnHost({.residual = s.residual.data(),
                 .branch = branch.data(),
                 .branch_type = type,
                 .gamma = s.gamma.data(),
                 .beta = s.beta.data(),
                 .sum = out.sum.data(),
                 .normed = normed.data(),
                 .normed_type = type,
                 .mean = mean.data(),
                 .rstd = rstd.data(),
                 .rows = s.rows,
                 .width = s.width,
                 .eps = static_cast<float>(s.eps)});
  AddNormBackwardOnHost({.grad_normed = grad_normed.data(),
                         .normed_type = type,
                         .grad_sum = s.grad_sum.data(),
                         .sum = out.sum.data(),
                         .mean = mean.data(),
                         .rstd = rstd.data(),
                         .gamma = s.gamma.data(),
                         .grad_residual = out.grad_residual.data(),
                         .grad_branch = grad_branch.data(),
                         .branch_type = FloatType::kBfloat16,
                         .partial = partial.data(),
                         .grad_gamma = out.grad_gamma.data(),
                         .grad_beta = out.grad_beta.data(),
                         .accumulate = true,
                         .rows = s.rows,
                         .width = s.width});
  if constexpr (std::is_same_v<T, Bf16>) {
    out.normed = Widened(normed);
  } else {
    out.normed = normed;
  }
  out.grad_branch = Widened(grad_branch);
  return out;
}

// Of a sum over rows that is added in fp32: its rounding grows as a walk.
double SumTolerance(int64_t rows) {
  constexpr double kOfFewRows = 2e-5, kFewRows = 40;
  return kOfFewRows * std::max(1.0, std::sqrt(static_cast<double>(rows) / kFewRows));
}

void ExpectNear(const AddNormResult& actual, const AddNormReference& expected, bool bf16) {
  const double of_sum =
      SumTolerance(static_cast<int64_t>(expected.sum.size() / expected.grad_gamma.size()));
  for (size_t i = 0; i < expected.sum.size(); ++i) {
    EXPECT_NEAR(actual.sum[i], expected.sum[i], 1e-6) << i;
    EXPECT_NEAR(actual.normed[i], expected.normed[i],
                2e-6 + (bf16 ? HalfBf16Step(expected.normed[i]) : 0))
        << i;
    EXPECT_NEAR(actual.grad_residual[i], expected.grad_residual[i], 5e-6) << i;
    EXPECT_NEAR(actual.grad_branch[i], expected.grad_residual[i],
                5e-6 + HalfBf16Step(expected.grad_residual[i]))
        << i;
  }
  for (size_t i = 0; i < expected.grad_gamma.size(); ++i) {
    EXPECT_NEAR(actual.grad_gamma[i], 0.5 + expected.grad_gamma[i], of_sum) << i;
    EXPECT_NEAR(actual.grad_beta[i], 0.25 + expected.grad_beta[i], of_sum) << i;
  }
}

TEST(AddNormHostTest, EqualsTheReferenceInFp32) {
  for (const Shape& shape : kShapes) {
    SCOPED_TRACE(shape.width);
    const AddNormSample sample = MakeAddNormSample(shape.rows, shape.width);
    ExpectNear(RunAddNorm(sample, FloatType::kFloat32, sample.branch, sample.grad_normed),
               ReferenceAddNorm(sample), false);
  }
}

TEST(AddNormHostTest, EqualsTheReferenceInBf16) {
  for (const Shape& shape : kShapes) {
    AddNormSample sample = MakeAddNormSample(shape.rows, shape.width);
    const std::vector<Bf16> branch = Rounded(sample.branch), grad = Rounded(sample.grad_normed);
    sample.branch = Widened(branch);
    sample.grad_normed = Widened(grad);
    ExpectNear(RunAddNorm(sample, FloatType::kBfloat16, branch, grad), ReferenceAddNorm(sample),
               true);
  }
}

TEST(AddNormHostTest, WithoutBranchNormsTheResidualItself) {
  AddNormSample s = MakeAddNormSample(3, 24);
  s.branch.assign(s.branch.size(), 0);
  std::vector<float> normed(s.residual.size()), mean(3), rstd(3);
  AddNormOnHost({.residual = s.residual.data(),
                 .gamma = s.gamma.data(),
                 .beta = s.beta.data(),
                 .normed = normed.data(),
                 .mean = mean.data(),
                 .rstd = rstd.data(),
                 .rows = 3,
                 .width = 24,
                 .eps = 1e-6f});
  const AddNormReference expected = ReferenceAddNorm(s);
  for (size_t i = 0; i < normed.size(); ++i) EXPECT_NEAR(normed[i], expected.normed[i], 2e-6) << i;
}

// A large common offset costs a one-pass variance its digits; two passes keep them.
TEST(AddNormHostTest, KeepsItsDigitsFarFromZero) {
  AddNormSample s = MakeAddNormSample(2, 384);
  s.residual = Numbers(2 * 384, 1, 1000, 1);
  s.branch.assign(s.branch.size(), 0);
  const AddNormResult actual = RunAddNorm(s, FloatType::kFloat32, s.branch, s.grad_normed);
  const AddNormReference expected = ReferenceAddNorm(s);
  for (size_t i = 0; i < expected.normed.size(); ++i) {
    EXPECT_NEAR(actual.normed[i], expected.normed[i], 3e-4) << i;
  }
}

template <typename T>
void CheckBiasGelu(const Shape& shape, FloatType type, const std::vector<T>& product,
                   const std::vector<T>& grad_out) {
  const int64_t count = shape.rows * shape.width;
  const std::vector<float> bias = Numbers(shape.width, 7, 0.1);
  std::vector<T> out(count), grad_product(count);
  std::vector<float> partial(BiasGeluPartials(shape.rows, shape.width) * shape.width, NAN);
  std::vector<float> grad_bias(shape.width, NAN);
  BiasGeluOnHost({.product = product.data(),
                  .bias = bias.data(),
                  .out = out.data(),
                  .type = type,
                  .rows = shape.rows,
                  .width = shape.width});
  BiasGeluBackwardOnHost({.grad_out = grad_out.data(),
                          .product = product.data(),
                          .bias = bias.data(),
                          .grad_product = grad_product.data(),
                          .partial = partial.data(),
                          .grad_bias = grad_bias.data(),
                          .type = type,
                          .rows = shape.rows,
                          .width = shape.width});
  const bool bf16 = type == FloatType::kBfloat16;
  std::vector<double> expected_bias(shape.width, 0);
  for (int64_t i = 0; i < count; ++i) {
    const double x = static_cast<double>(ToFloat(product[i])) + bias[i % shape.width];
    const double gelu = ReferenceGelu(x), slope = ToFloat(grad_out[i]) * ReferenceGeluSlope(x);
    EXPECT_NEAR(ToFloat(out[i]), gelu, 1e-6 + (bf16 ? HalfBf16Step(gelu) : 0)) << x;
    EXPECT_NEAR(ToFloat(grad_product[i]), slope, 2e-6 + (bf16 ? HalfBf16Step(slope) : 0)) << x;
    expected_bias[i % shape.width] += slope;
  }
  for (int64_t c = 0; c < shape.width; ++c) {
    // Summed before it is rounded.
    EXPECT_NEAR(grad_bias[c], expected_bias[c], SumTolerance(shape.rows)) << c;
  }
}

TEST(BiasGeluHostTest, EqualsTheReferenceInFp32AndBf16) {
  for (const Shape& shape : kShapes) {
    const std::vector<float> product = Numbers(shape.rows * shape.width, 8, 0, 2);
    const std::vector<float> grad = Numbers(shape.rows * shape.width, 9);
    CheckBiasGelu(shape, FloatType::kFloat32, product, grad);
    CheckBiasGelu(shape, FloatType::kBfloat16, Rounded(product), Rounded(grad));
  }
}

// The tanh approximation differs by up to 4e-4 (performance.md 3, row 5): this bound excludes it.
TEST(BiasGeluHostTest, IsTheExactGelu) {
  std::vector<float> product(8), out(8);
  const std::vector<float> bias(8, 0.0f);
  for (int i = 0; i < 8; ++i) product[i] = -3.5f + 0.9f * i;
  BiasGeluOnHost(
      {.product = product.data(), .bias = bias.data(), .out = out.data(), .rows = 1, .width = 8});
  for (int i = 0; i < 8; ++i) EXPECT_NEAR(out[i], ReferenceGelu(product[i]), 1e-6);
}

TEST(RowsHostTest, GathersRowsAndSumsTheirGradientsInOrder) {
  const std::vector<float> in = Numbers(5 * 16, 1);
  const std::vector<int32_t> rows = {4, 0, 0, 2, 4, 4, 1};
  std::vector<float> out(rows.size() * 16);
  GatherRowsOnHost({.in = in.data(),
                    .rows = rows.data(),
                    .out = out.data(),
                    .count = static_cast<int64_t>(rows.size()),
                    .row_bytes = 16 * sizeof(float)});
  for (size_t k = 0; k < rows.size(); ++k) {
    for (int c = 0; c < 16; ++c) EXPECT_EQ(out[k * 16 + c], in[rows[k] * 16 + c]);
  }
  const InverseRows inverse = InvertRows(rows, 5);
  EXPECT_EQ(inverse.starts, (std::vector<int32_t>{0, 2, 3, 4, 4, 7}));
  EXPECT_EQ(inverse.order, (std::vector<int32_t>{1, 2, 6, 3, 0, 4, 5}));
  const std::vector<float> grad_out = Numbers(static_cast<int64_t>(rows.size()) * 16, 2);
  std::vector<float> grad_in(in.size(), NAN), expected(in.size(), 0);
  GatherRowsBackwardOnHost({.grad_out = grad_out.data(),
                            .starts = inverse.starts.data(),
                            .order = inverse.order.data(),
                            .grad_in = grad_in.data(),
                            .in_rows = 5,
                            .width = 16});
  for (size_t k = 0; k < rows.size(); ++k) {
    for (int c = 0; c < 16; ++c) expected[rows[k] * 16 + c] += grad_out[k * 16 + c];
  }
  EXPECT_EQ(grad_in, expected);
}

template <typename T>
void CheckUnfold(FloatType type, int patch, int64_t columns) {
  constexpr int kGridHeight = 2, kGridWidth = 3, kImages = 2;
  const int64_t height = kGridHeight * patch, width = kGridWidth * patch;
  std::vector<uint8_t> pixels(kImages * 3 * height * width);
  for (size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<uint8_t>(i * 37 % 251);
  std::vector<T> out(kImages * kGridHeight * kGridWidth * columns);
  const UnfoldPixels args{.pixels = pixels.data(),
                          .out = out.data(),
                          .type = type,
                          .images = kImages,
                          .grid_height = kGridHeight,
                          .grid_width = kGridWidth,
                          .patch = patch,
                          .columns = columns,
                          .mean = {0.485f, 0.456f, 0.406f},
                          .std = {0.229f, 0.224f, 0.225f}};
  UnfoldPixelsOnHost(args);
  size_t at = 0;
  for (int b = 0; b < kImages; ++b) {
    for (int cell = 0; cell < kGridHeight * kGridWidth; ++cell) {
      for (int64_t column = 0; column < columns; ++column, ++at) {
        T expected{};
        const int c = static_cast<int>(column / (patch * patch));
        if (c < 3) {
          const int64_t y = cell / kGridWidth * patch + column % (patch * patch) / patch;
          const int64_t x = cell % kGridWidth * patch + column % patch;
          const uint8_t value = pixels[((b * 3 + c) * height + y) * width + x];
          Convert((static_cast<float>(value) / 255.0f - args.mean[c]) / args.std[c], &expected);
        }
        ASSERT_EQ(ToFloat(out[at]), ToFloat(expected)) << b << " " << cell << " " << column;
      }
    }
  }
}

TEST(UnfoldPixelsHostTest, ReadsWideValuesOfAnyChannels) {
  const std::vector<uint16_t> pixels = {0,     1, 256, 65535,
                                        40000, 4, 3,   2};  // Two channels of 2 x 2.
  std::vector<float> out(8, -1);
  UnfoldPixelsOnHost({.pixels = pixels.data(),
                      .out = out.data(),
                      .images = 1,
                      .grid_height = 1,
                      .grid_width = 1,
                      .patch = 2,
                      .columns = PatchColumns(2, 2),
                      .channels = 2,
                      .wide = true,
                      .peak = 65535,
                      .mean = {0.25f, 0.5f},
                      .std = {0.5f, 2.0f}});
  for (size_t i = 0; i < 8; ++i) {
    const float mean = i < 4 ? 0.25f : 0.5f, deviation = i < 4 ? 0.5f : 2.0f;
    EXPECT_EQ(out[i], (static_cast<float>(pixels[i]) / 65535.0f - mean) / deviation) << i;
  }
}

TEST(UnfoldPixelsHostTest, PutsEveryPixelInItsPlaceAndPadsWithZeros) {
  EXPECT_EQ(PatchColumns(14), 592);
  EXPECT_EQ(PatchColumns(16), 768);
  for (int patch : {2, 14, 16}) {
    CheckUnfold<float>(FloatType::kFloat32, patch, PatchColumns(patch));
    CheckUnfold<Bf16>(FloatType::kBfloat16, patch, PatchColumns(patch));
  }
}

struct UpdateBuffers {
  std::vector<float> params, exp_avg, exp_avg_sq, ema;
  std::vector<Bf16> params_bf16, ema_bf16;
};

UpdateBuffers MakeUpdateBuffers(int64_t count) {
  UpdateBuffers b{
      Numbers(count, 1), Numbers(count, 2), Numbers(count, 3), Numbers(count, 4), {}, {}};
  for (float& value : b.exp_avg_sq) value *= value;
  b.params_bf16.resize(count);
  b.ema_bf16.resize(count);
  return b;
}

AdamwEmaRange RangeOf(UpdateBuffers& b, const std::vector<float>& grad, bool decays) {
  return {.params = b.params.data(),
          .grad = grad.data(),
          .exp_avg = b.exp_avg.data(),
          .exp_avg_sq = b.exp_avg_sq.data(),
          .ema = b.ema.data(),
          .params_bf16 = b.params_bf16.data(),
          .ema_bf16 = b.ema_bf16.data(),
          .count = static_cast<int64_t>(b.params.size()),
          .decays = decays};
}

constexpr UpdateRequest kRequest{
    .lr = 1e-3, .beta1 = 0.9, .beta2 = 0.95, .weight_decay = 0.05, .eps = 1e-8, .ema_weight = 0.01};

void StepOnHost(UpdateBuffers& b, const std::vector<float>& grad, bool decays, UpdateState* state,
                float loss = 0.5f) {
  std::vector<double> partial(kNormPartials, NAN);
  GradientNormOnHost(grad.data(), static_cast<int64_t>(grad.size()), partial.data());
  PrepareUpdateOnHost(kRequest, partial.data(), &loss, state);
  AdamwEmaOnHost(RangeOf(b, grad, decays), *state);
}

// Loshchilov & Hutter, arXiv:1711.05101, algorithm 2, in fp64.
void CheckUpdate(int64_t count, bool decays) {
  UpdateBuffers ours = MakeUpdateBuffers(count);
  std::vector<double> p(ours.params.begin(), ours.params.end()),
      m(ours.exp_avg.begin(), ours.exp_avg.end()),
      v(ours.exp_avg_sq.begin(), ours.exp_avg_sq.end()), ema(ours.ema.begin(), ours.ema.end());
  UpdateState state{.step = 2};
  for (int step = 3; step < 6; ++step) {
    const std::vector<float> grad = Numbers(count, 10 + step);
    double squares = 0;
    for (int64_t i = 0; i < count; ++i) {
      const double g = grad[i];
      squares += g * g;
      p[i] -= kRequest.lr * (decays ? kRequest.weight_decay : 0) * p[i];
      m[i] = kRequest.beta1 * m[i] + (1 - kRequest.beta1) * g;
      v[i] = kRequest.beta2 * v[i] + (1 - kRequest.beta2) * g * g;
      const double m_hat = m[i] / (1 - std::pow(kRequest.beta1, step));
      const double v_hat = v[i] / (1 - std::pow(kRequest.beta2, step));
      p[i] -= kRequest.lr * m_hat / (std::sqrt(v_hat) + kRequest.eps);
      ema[i] += kRequest.ema_weight * (p[i] - ema[i]);
    }
    StepOnHost(ours, grad, decays, &state);
    EXPECT_EQ(state.step, step);
    EXPECT_NEAR(state.norm, std::sqrt(squares), 1e-12 * std::sqrt(squares));
  }
  for (int64_t i = 0; i < count; ++i) {
    EXPECT_NEAR(ours.params[i], p[i], 1e-6) << i;
    EXPECT_NEAR(ours.exp_avg[i], m[i], 1e-6) << i;
    EXPECT_NEAR(ours.exp_avg_sq[i], v[i], 2e-6) << i;
    EXPECT_NEAR(ours.ema[i], ema[i], 1e-6) << i;
    Bf16 rounded;
    Convert(ours.params[i], &rounded);
    EXPECT_EQ(ours.params_bf16[i].bits, rounded.bits) << i;
    Convert(ours.ema[i], &rounded);
    EXPECT_EQ(ours.ema_bf16[i].bits, rounded.bits) << i;
  }
}

TEST(AdamwEmaHostTest, EqualsTheReferenceAndKeepsTheBf16CopiesTrue) {
  for (int64_t count : {1, 7, 8, 1023}) {
    CheckUpdate(count, true);
    CheckUpdate(count, false);
  }
}

TEST(AdamwEmaHostTest, LeavesEverythingAloneWhereTheGradientIsNotFinite) {
  for (float bad :
       {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity()}) {
    UpdateBuffers ours = MakeUpdateBuffers(19);
    const UpdateBuffers before = ours;
    UpdateState state{.step = 4};
    std::vector<float> grad = Numbers(19, 5);
    grad[18] = bad;  // In the tail.
    StepOnHost(ours, grad, true, &state);
    EXPECT_EQ(state.apply, 0);
    EXPECT_EQ(state.skipped, 1);
    EXPECT_EQ(state.step, 4);
    EXPECT_FALSE(std::isfinite(state.norm));
    EXPECT_EQ(ours.params, before.params);
    EXPECT_EQ(ours.exp_avg, before.exp_avg);
    EXPECT_EQ(ours.exp_avg_sq, before.exp_avg_sq);
    EXPECT_EQ(ours.ema, before.ema);
    grad[18] = 1;
    StepOnHost(ours, grad, true, &state);  // The next good gradient goes on where it was.
    EXPECT_EQ(state.apply, 1);
    EXPECT_EQ(state.step, 5);
    EXPECT_NE(ours.params, before.params);
  }
}

TEST(AdamwEmaHostTest, LeavesEverythingAloneWhereTheLossIsNotFinite) {
  for (float bad :
       {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity()}) {
    UpdateBuffers ours = MakeUpdateBuffers(19);
    const UpdateBuffers before = ours;
    UpdateState state{.step = 4};
    StepOnHost(ours, Numbers(19, 5), true, &state, bad);
    EXPECT_EQ(state.apply, 0);
    EXPECT_EQ(state.skipped, 1);
    EXPECT_EQ(state.step, 4);
    EXPECT_TRUE(std::isfinite(state.norm));
    EXPECT_EQ(ours.params, before.params);
    EXPECT_EQ(ours.ema, before.ema);
    StepOnHost(ours, Numbers(19, 5), true, &state, std::numeric_limits<float>::max());
    EXPECT_EQ(state.apply, 1);
  }
}

// The same bits as the one pass: ranks that share the update out agree with those that do not.
TEST(EmaHostTest, IsTheSecondHalfOfAWholeUpdate) {
  for (int64_t count : {1, 7, 8, 1023}) {
    UpdateBuffers whole = MakeUpdateBuffers(count);
    UpdateBuffers half = whole;
    UpdateState state{.step = 2};
    const std::vector<float> grad = Numbers(count, 10);
    StepOnHost(whole, grad, true, &state);
    half.params = whole.params;  // As another rank's update and a gather leave them.
    AdamwEmaRange range = RangeOf(half, grad, true);
    range.grad = nullptr;
    range.exp_avg = range.exp_avg_sq = nullptr;
    EmaOnHost(range, state);
    EXPECT_EQ(half.params, whole.params);
    EXPECT_EQ(half.ema, whole.ema);
    for (int64_t i = 0; i < count; ++i) {
      EXPECT_EQ(half.params_bf16[i].bits, whole.params_bf16[i].bits) << i;
      EXPECT_EQ(half.ema_bf16[i].bits, whole.ema_bf16[i].bits) << i;
    }
  }
}

TEST(EmaHostTest, LeavesEverythingAloneInASkippedStep) {
  UpdateBuffers ours = MakeUpdateBuffers(19);
  const UpdateBuffers before = ours;
  const std::vector<float> grad = Numbers(19, 5);
  EmaOnHost(RangeOf(ours, grad, true), {.apply = 0, .scalars = {.ema_weight = 0.5f}});
  EXPECT_EQ(ours.ema, before.ema);
  for (size_t i = 0; i < 19; ++i) {
    EXPECT_EQ(ours.params_bf16[i].bits, before.params_bf16[i].bits) << i;
  }
}

}  // namespace
}  // namespace jepa
