// The fused AdamW and EMA kernel against PyTorch's fused AdamW on the same GPU.
#include <ATen/Context.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/full.h>
#include <ATen/ops/randn.h>
#include <c10/cuda/CUDAStream.h>
#include <gtest/gtest.h>

#include <cmath>

#include "worker/jepa/kernels/adamw_ema.h"

namespace jepa {
namespace {

struct State {
  at::Tensor params, exp_avg, exp_avg_sq, ema;
  State Copy() const { return {params.clone(), exp_avg.clone(), exp_avg_sq.clone(), ema.clone()}; }
};

TEST(AdamwEmaKernelTest, EqualsFusedAdamwThenLerp) {
  if (!at::hasCUDA()) GTEST_SKIP() << "no CUDA device is visible";
  constexpr double kLr = 1e-3, kBeta1 = 0.9, kBeta2 = 0.95, kDecay = 0.05, kEps = 1e-8,
                   kMomentum = 0.99;
  for (int64_t count : {1, 3, 4, 1023, 1 << 20}) {
    const auto options = at::TensorOptions().dtype(at::kFloat).device(at::kCUDA);
    State ours{at::randn({count}, options), at::randn({count}, options),
               at::randn({count}, options).square(), at::randn({count}, options)};
    State theirs = ours.Copy();
    for (int step = 3; step < 6; ++step) {
      const at::Tensor grad = at::randn({count}, options);
      const at::Tensor steps = at::full({1}, static_cast<float>(step), options);
      at::_fused_adamw_({theirs.params}, {grad}, {theirs.exp_avg}, {theirs.exp_avg_sq}, {}, {steps},
                        kLr, kBeta1, kBeta2, kDecay, kEps, false, false);
      theirs.ema.lerp_(theirs.params, 1 - kMomentum);
      const char* error = LaunchAdamwEma(
          {.params = ours.params.data_ptr<float>(),
           .grad = grad.data_ptr<float>(),
           .exp_avg = ours.exp_avg.data_ptr<float>(),
           .exp_avg_sq = ours.exp_avg_sq.data_ptr<float>(),
           .ema = ours.ema.data_ptr<float>(),
           .count = count},
          {.lr = kLr,
           .beta1 = kBeta1,
           .beta2 = kBeta2,
           .weight_decay = kDecay,
           .eps = kEps,
           .bias_correction1 = static_cast<float>(1 - std::pow(kBeta1, step)),
           .bias_correction2_sqrt = static_cast<float>(std::sqrt(1 - std::pow(kBeta2, step))),
           .ema_weight = 1 - kMomentum},
          c10::cuda::getCurrentCUDAStream().stream());
      ASSERT_EQ(error, nullptr) << error;
    }
    const auto distance = [](const at::Tensor& a, const at::Tensor& b) {
      return a.sub(b).abs().max().item<double>();
    };
    EXPECT_LT(distance(ours.params, theirs.params), 1e-6) << count;
    EXPECT_LT(distance(ours.exp_avg, theirs.exp_avg), 1e-6) << count;
    EXPECT_LT(distance(ours.exp_avg_sq, theirs.exp_avg_sq), 1e-6) << count;
    EXPECT_LT(distance(ours.ema, theirs.ema), 1e-6) << count;
  }
}

}  // namespace
}  // namespace jepa
