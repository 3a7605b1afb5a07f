// The kernels on a GPU against their twins on the host, which kernels_host_test holds against fp64
// references. Sums are added in the same order on both; what is left is fused multiply-adds and the
// last bits of erf, exp and pow.
#include <ATen/ATen.h>
#include <c10/cuda/CUDAStream.h>
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

using testing::AddNormSample;
using testing::MakeAddNormSample;
using testing::Numbers;

#define SKIP_WITHOUT_GPU() \
  if (!at::hasCUDA()) GTEST_SKIP() << "no CUDA device is visible"

// The same tensor on the host and on the GPU.
struct Pair {
  at::Tensor host, gpu;

  template <typename T>
  T* on_host() const {
    return static_cast<T*>(host.data_ptr());
  }
  template <typename T>
  T* on_gpu() const {
    return static_cast<T*>(gpu.data_ptr());
  }
};

Pair PairOf(const at::Tensor& host) { return {host.contiguous(), host.cuda()}; }
Pair Zeros(at::IntArrayRef shape, at::ScalarType type = at::kFloat) {
  return PairOf(at::zeros(shape, type));
}
Pair FromNumbers(std::vector<float> numbers, at::IntArrayRef shape,
                 at::ScalarType type = at::kFloat) {
  return PairOf(at::from_blob(numbers.data(), shape, at::kFloat).to(type).clone());
}

void* Stream() { return c10::cuda::getCurrentCUDAStream().stream(); }

// |gpu - host| <= tolerance, and a step of bf16 more where the numbers are bf16.
void ExpectClose(const Pair& pair, double tolerance, const char* what) {
  const at::Tensor expected = pair.host.to(at::kDouble);
  const at::Tensor distance = (pair.gpu.cpu().to(at::kDouble) - expected).abs();
  const double step = pair.host.scalar_type() == at::kBFloat16 ? 1.0 / 128 : 0;
  const double worst = (distance - expected.abs() * step).max().item<double>();
  EXPECT_LE(worst, tolerance) << what;
}

struct Shape {
  int64_t rows;
  int64_t width;
};
constexpr Shape kShapes[] = {{1, 8},       {37, 24},   {300, 192},   {5000, 384}, {777, 1280},
                             {1000, 1408}, {64, 4096}, {1100, 1280}, {2200, 8}};

TEST(AddNormGpuTest, EqualsItsTwin) {
  SKIP_WITHOUT_GPU();
  for (const Shape& shape : kShapes) {
    for (at::ScalarType type : {at::kFloat, at::kBFloat16}) {
      const int64_t rows = shape.rows, width = shape.width;
      const AddNormSample s = MakeAddNormSample(rows, width);
      const Pair residual = FromNumbers(s.residual, {rows, width}),
                 branch = FromNumbers(s.branch, {rows, width}, type),
                 gamma = FromNumbers(s.gamma, {width}), beta = FromNumbers(s.beta, {width}),
                 grad_normed = FromNumbers(s.grad_normed, {rows, width}, type),
                 grad_sum = FromNumbers(s.grad_sum, {rows, width});
      const Pair sum = Zeros({rows, width}), normed = Zeros({rows, width}, type),
                 mean = Zeros({rows}), rstd = Zeros({rows}), grad_residual = Zeros({rows, width}),
                 grad_branch = Zeros({rows, width}, at::kBFloat16), grad_gamma = Zeros({width}),
                 grad_beta = Zeros({width}),
                 partial = Zeros({AddNormPartials(rows, width), 2, width});
      const FloatType kind = type == at::kFloat ? FloatType::kFloat32 : FloatType::kBfloat16;
      const auto forward = [&](auto pick) {
        return AddNormForward{.residual = pick(residual),
                              .branch = pick(branch),
                              .branch_type = kind,
                              .gamma = static_cast<float*>(pick(gamma)),
                              .beta = static_cast<float*>(pick(beta)),
                              .sum = pick(sum),
                              .normed = pick(normed),
                              .normed_type = kind,
                              .mean = static_cast<float*>(pick(mean)),
                              .rstd = static_cast<float*>(pick(rstd)),
                              .rows = rows,
                              .width = width,
                              .eps = 1e-6f};
      };
      const auto backward = [&](auto pick) {
        return AddNormBackward{.grad_normed = pick(grad_normed),
                               .normed_type = kind,
                               .grad_sum = pick(grad_sum),
                               .sum = pick(sum),
                               .mean = static_cast<float*>(pick(mean)),
                               .rstd = static_cast<float*>(pick(rstd)),
                               .gamma = static_cast<float*>(pick(gamma)),
                               .grad_residual = pick(grad_residual),
                               .grad_branch = pick(grad_branch),
                               .branch_type = FloatType::kBfloat16,
                               .partial = static_cast<float*>(pick(partial)),
                               .grad_gamma = static_cast<float*>(pick(grad_gamma)),
                               .grad_beta = static_cast<float*>(pick(grad_beta)),
                               .rows = rows,
                               .width = width};
      };
      const auto host = [](const Pair& pair) { return pair.host.data_ptr(); };
      const auto gpu = [](const Pair& pair) { return pair.gpu.data_ptr(); };
      AddNormOnHost(forward(host));
      AddNormBackwardOnHost(backward(host));
      ASSERT_EQ(LaunchAddNorm(forward(gpu), Stream()), nullptr);
      ASSERT_EQ(LaunchAddNormBackward(backward(gpu), Stream()), nullptr);
      SCOPED_TRACE(width);
      ExpectClose(sum, 0, "sum");
      ExpectClose(normed, 5e-6, "normed");
      ExpectClose(grad_residual, 1e-5, "grad_residual");
      ExpectClose(grad_branch, 1e-5, "grad_branch");
      ExpectClose(grad_gamma, 1e-5 * std::sqrt(rows) * 4, "grad_gamma");
      ExpectClose(grad_beta, 1e-5 * std::sqrt(rows) * 4, "grad_beta");
      const at::Tensor first = grad_gamma.gpu.clone();
      ASSERT_EQ(LaunchAddNormBackward(backward(gpu), Stream()), nullptr);
      EXPECT_TRUE(grad_gamma.gpu.equal(first)) << "not the same bits twice";
    }
  }
}

TEST(BiasGeluGpuTest, EqualsItsTwin) {
  SKIP_WITHOUT_GPU();
  for (const Shape& shape : kShapes) {
    for (at::ScalarType type : {at::kFloat, at::kBFloat16}) {
      const int64_t rows = shape.rows, width = shape.width, count = rows * width;
      const Pair product = FromNumbers(Numbers(count, 8, 0, 2), {rows, width}, type),
                 grad_out = FromNumbers(Numbers(count, 9), {rows, width}, type),
                 bias = FromNumbers(Numbers(width, 7), {width});
      const Pair out = Zeros({rows, width}, type), grad_product = Zeros({rows, width}, type),
                 grad_bias = Zeros({width}),
                 partial = Zeros({BiasGeluPartials(rows, width), width});
      const FloatType kind = type == at::kFloat ? FloatType::kFloat32 : FloatType::kBfloat16;
      const auto forward = [&](auto pick) {
        return BiasGeluForward{
            pick(product), static_cast<float*>(pick(bias)), pick(out), kind, rows, width};
      };
      const auto backward = [&](auto pick) {
        return BiasGeluBackward{.grad_out = pick(grad_out),
                                .product = pick(product),
                                .bias = static_cast<float*>(pick(bias)),
                                .grad_product = pick(grad_product),
                                .partial = static_cast<float*>(pick(partial)),
                                .grad_bias = static_cast<float*>(pick(grad_bias)),
                                .type = kind,
                                .rows = rows,
                                .width = width};
      };
      const auto host = [](const Pair& pair) { return pair.host.data_ptr(); };
      const auto gpu = [](const Pair& pair) { return pair.gpu.data_ptr(); };
      BiasGeluOnHost(forward(host));
      BiasGeluBackwardOnHost(backward(host));
      ASSERT_EQ(LaunchBiasGelu(forward(gpu), Stream()), nullptr);
      ASSERT_EQ(LaunchBiasGeluBackward(backward(gpu), Stream()), nullptr);
      SCOPED_TRACE(width);
      ExpectClose(out, 2e-6, "out");
      ExpectClose(grad_product, 4e-6, "grad_product");
      ExpectClose(grad_bias, 1e-5 * std::sqrt(rows) * 4, "grad_bias");
    }
  }
}

TEST(RowsGpuTest, EqualsItsTwinBitForBit) {
  SKIP_WITHOUT_GPU();
  for (at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    constexpr int64_t kIn = 256, kCount = 3000, kWidth = 384;
    std::vector<int32_t> rows(kCount);
    for (int64_t k = 0; k < kCount; ++k) rows[k] = static_cast<int32_t>(k * k % 251);
    const InverseRows inverse = InvertRows(rows, kIn);
    const Pair index = PairOf(at::tensor(rows, at::kInt)),
               starts = PairOf(at::tensor(inverse.starts, at::kInt)),
               order = PairOf(at::tensor(inverse.order, at::kInt));
    const Pair in = FromNumbers(Numbers(kIn * kWidth, 1), {kIn, kWidth}, type),
               grad_out = FromNumbers(Numbers(kCount * kWidth, 2), {kCount, kWidth}, type);
    const Pair out = Zeros({kCount, kWidth}, type), grad_in = Zeros({kIn, kWidth}, type);
    const auto bytes = kWidth * static_cast<int64_t>(in.host.element_size());
    const FloatType kind = type == at::kFloat ? FloatType::kFloat32 : FloatType::kBfloat16;
    GatherRowsOnHost(
        {in.host.data_ptr(), index.on_host<int32_t>(), out.host.data_ptr(), kCount, bytes});
    ASSERT_EQ(LaunchGatherRows(
                  {in.gpu.data_ptr(), index.on_gpu<int32_t>(), out.gpu.data_ptr(), kCount, bytes},
                  Stream()),
              nullptr);
    GatherRowsBackwardOnHost({grad_out.host.data_ptr(), starts.on_host<int32_t>(),
                              order.on_host<int32_t>(), grad_in.host.data_ptr(), kind, kIn,
                              kWidth});
    ASSERT_EQ(LaunchGatherRowsBackward(
                  {grad_out.gpu.data_ptr(), starts.on_gpu<int32_t>(), order.on_gpu<int32_t>(),
                   grad_in.gpu.data_ptr(), kind, kIn, kWidth},
                  Stream()),
              nullptr);
    EXPECT_TRUE(out.gpu.cpu().equal(out.host));
    EXPECT_TRUE(grad_in.gpu.cpu().equal(grad_in.host));
  }
}

TEST(UnfoldPixelsGpuTest, EqualsItsTwinBitForBit) {
  SKIP_WITHOUT_GPU();
  for (at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    for (int patch : {4, 14, 16}) {
      constexpr int kGrid = 5, kImages = 3;
      const Pair pixels =
          PairOf(at::randint(256, {kImages, 3, kGrid * patch, kGrid * patch}, at::kByte));
      const Pair out = Zeros({kImages * kGrid * kGrid, PatchColumns(patch)}, type);
      UnfoldPixels args{.type = type == at::kFloat ? FloatType::kFloat32 : FloatType::kBfloat16,
                        .images = kImages,
                        .grid_height = kGrid,
                        .grid_width = kGrid,
                        .patch = patch,
                        .columns = PatchColumns(patch),
                        .mean = {0.485f, 0.456f, 0.406f},
                        .std = {0.229f, 0.224f, 0.225f}};
      args.pixels = pixels.on_host<uint8_t>();
      args.out = out.host.data_ptr();
      UnfoldPixelsOnHost(args);
      args.pixels = pixels.on_gpu<uint8_t>();
      args.out = out.gpu.data_ptr();
      ASSERT_EQ(LaunchUnfoldPixels(args, Stream()), nullptr);
      EXPECT_TRUE(out.gpu.cpu().equal(out.host)) << patch;
    }
  }
}

constexpr UpdateRequest kRequest{
    .lr = 1e-3, .beta1 = 0.9, .beta2 = 0.95, .weight_decay = 0.05, .eps = 1e-8, .ema_weight = 0.01};

struct UpdatePairs {
  explicit UpdatePairs(int64_t n)
      : count(n),
        params(FromNumbers(Numbers(n, 1), {n})),
        grad(FromNumbers(Numbers(n, 2), {n})),
        exp_avg(FromNumbers(Numbers(n, 3), {n})),
        exp_avg_sq(PairOf(params.host.square())),
        ema(FromNumbers(Numbers(n, 4), {n})),
        params_bf16(Zeros({n}, at::kBFloat16)),
        ema_bf16(Zeros({n}, at::kBFloat16)),
        partial(Zeros({kNormPartials}, at::kDouble)) {}

  template <typename Pick>
  AdamwEmaRange Range(Pick pick) const {
    return {.params = static_cast<float*>(pick(params)),
            .grad = static_cast<float*>(pick(grad)),
            .exp_avg = static_cast<float*>(pick(exp_avg)),
            .exp_avg_sq = static_cast<float*>(pick(exp_avg_sq)),
            .ema = static_cast<float*>(pick(ema)),
            .params_bf16 = static_cast<Bf16*>(pick(params_bf16)),
            .ema_bf16 = static_cast<Bf16*>(pick(ema_bf16)),
            .count = count,
            .decays = true};
  }

  int64_t count;
  Pair params, grad, exp_avg, exp_avg_sq, ema, params_bf16, ema_bf16, partial;
};

// One whole step on the GPU; the state comes back.
UpdateState StepOnGpu(const UpdatePairs& b, const UpdateState& before, float loss_value = 0.5f) {
  const at::Tensor loss = at::full({1}, loss_value).cuda();
  const at::Tensor state = at::from_blob(const_cast<UpdateState*>(&before),
                                         {static_cast<int64_t>(sizeof(before))}, at::kByte)
                               .cuda();
  auto* device = static_cast<UpdateState*>(state.data_ptr());
  const auto gpu = [](const Pair& pair) { return pair.gpu.data_ptr(); };
  EXPECT_EQ(
      LaunchGradientNorm(b.grad.on_gpu<float>(), b.count, b.partial.on_gpu<double>(), Stream()),
      nullptr);
  EXPECT_EQ(LaunchPrepareUpdate(kRequest, b.partial.on_gpu<double>(), loss.data_ptr<float>(),
                                device, Stream()),
            nullptr);
  EXPECT_EQ(LaunchAdamwEma(b.Range(gpu), device, Stream()), nullptr);
  UpdateState after;
  const at::Tensor host = state.cpu();
  std::memcpy(&after, host.data_ptr(), sizeof(after));
  return after;
}

TEST(AdamwEmaGpuTest, EqualsItsTwin) {
  SKIP_WITHOUT_GPU();
  for (int64_t count : {1, 7, 8, 1023, 1 << 20}) {
    const UpdatePairs b(count);
    UpdateState state{.step = 2};
    const UpdateState after = StepOnGpu(b, state);
    GradientNormOnHost(b.grad.on_host<float>(), count, b.partial.on_host<double>());
    const float loss = 0.5f;
    PrepareUpdateOnHost(kRequest, b.partial.on_host<double>(), &loss, &state);
    AdamwEmaOnHost(b.Range([](const Pair& pair) { return pair.host.data_ptr(); }), state);
    EXPECT_EQ(after.step, 3);
    EXPECT_EQ(after.apply, 1);
    EXPECT_NEAR(after.norm, state.norm, 1e-12 * state.norm);
    ExpectClose(b.params, 1e-6, "params");
    ExpectClose(b.exp_avg, 1e-6, "exp_avg");
    ExpectClose(b.exp_avg_sq, 1e-5, "exp_avg_sq");
    ExpectClose(b.ema, 1e-6, "ema");
    EXPECT_TRUE(b.params_bf16.gpu.equal(b.params.gpu.to(at::kBFloat16)));
    EXPECT_TRUE(b.ema_bf16.gpu.equal(b.ema.gpu.to(at::kBFloat16)));
  }
}

TEST(AdamwEmaGpuTest, SkipsAGradientThatIsNotFinite) {
  SKIP_WITHOUT_GPU();
  const UpdatePairs b(4099);
  b.grad.gpu[4098].fill_(std::numeric_limits<float>::quiet_NaN());
  const UpdateState after = StepOnGpu(b, {.step = 2});
  EXPECT_EQ(after.step, 2);
  EXPECT_EQ(after.apply, 0);
  EXPECT_EQ(after.skipped, 1);
  EXPECT_TRUE(b.params.gpu.cpu().equal(b.params.host));
  EXPECT_TRUE(b.exp_avg.gpu.cpu().equal(b.exp_avg.host));
  EXPECT_TRUE(b.ema.gpu.cpu().equal(b.ema.host));
}

TEST(AdamwEmaGpuTest, SkipsAStepWhoseLossIsNotFinite) {
  SKIP_WITHOUT_GPU();
  const UpdatePairs b(4099);
  const UpdateState after = StepOnGpu(b, {.step = 2}, std::numeric_limits<float>::infinity());
  EXPECT_EQ(after.step, 2);
  EXPECT_EQ(after.apply, 0);
  EXPECT_TRUE(b.params.gpu.cpu().equal(b.params.host));
}

TEST(EmaGpuTest, EqualsItsTwinAndSkipsWithTheStep) {
  SKIP_WITHOUT_GPU();
  for (int64_t count : {1, 7, 8, 1023, 1 << 20}) {
    for (int32_t apply : {0, 1}) {
      const UpdatePairs b(count);
      const UpdateState state{.apply = apply, .scalars = {.ema_weight = 0.01f}};
      const at::Tensor on_gpu = at::from_blob(const_cast<UpdateState*>(&state),
                                              {static_cast<int64_t>(sizeof(state))}, at::kByte)
                                    .cuda();
      EXPECT_EQ(LaunchEma(b.Range([](const Pair& pair) { return pair.gpu.data_ptr(); }),
                          static_cast<UpdateState*>(on_gpu.data_ptr()), Stream()),
                nullptr);
      EmaOnHost(b.Range([](const Pair& pair) { return pair.host.data_ptr(); }), state);
      ExpectClose(b.ema, apply == 0 ? 0 : 1e-6, "ema");
      EXPECT_TRUE(b.params.gpu.cpu().equal(b.params.host));
      if (apply == 0) continue;
      EXPECT_TRUE(b.params_bf16.gpu.equal(b.params.gpu.to(at::kBFloat16)));
      EXPECT_TRUE(b.ema_bf16.gpu.equal(b.ema.gpu.to(at::kBFloat16)));
    }
  }
}

}  // namespace
}  // namespace jepa
