// AdamW and EMA; see optimizer.h.
#include "worker/jepa/model/optimizer.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <c10/cuda/CUDAStream.h>

#include <cmath>

#include "worker/jepa/kernels/adamw_ema.h"

namespace jepa {
namespace {

at::Tensor Slice(const at::Tensor& flat, FlatRange range) {
  return flat.narrow(0, range.begin, range.size());
}

}  // namespace

Optimizer::Optimizer(FlatStorage* storage, double beta1, double beta2)
    : storage_(storage), beta1_(beta1), beta2_(beta2) {}

void Optimizer::Step(const UpdateRates& rates) {
  const c10::NoGradGuard no_grad;
  ++step_;
  if (storage_->params.is_cuda()) {
    StepCuda(rates);
  } else {
    StepCpu(rates);
  }
}

void Optimizer::StepCpu(const UpdateRates& rates) {
  const at::Tensor steps = at::full({1}, static_cast<float>(step_), at::kFloat);
  const auto update = [&](FlatRange range, double weight_decay) {
    if (range.size() == 0) return;
    at::_fused_adamw_({Slice(storage_->params, range)}, {Slice(storage_->grad, range)},
                      {Slice(storage_->exp_avg, range)}, {Slice(storage_->exp_avg_sq, range)}, {},
                      {steps}, rates.lr, beta1_, beta2_, weight_decay, kAdamEps,
                      /*amsgrad=*/false, /*maximize=*/false);
  };
  update(storage_->decay(), rates.weight_decay);
  update(storage_->no_decay(), 0.0);
  int64_t cursor = 0;
  for (FlatRange range : {storage_->encoder_decay(), storage_->encoder_no_decay()}) {
    storage_->target.narrow(0, cursor, range.size())
        .lerp_(Slice(storage_->params, range), 1.0 - rates.ema_momentum);
    cursor += range.size();
  }
}

void Optimizer::StepCuda(const UpdateRates& rates) {
  AdamwEmaScalars scalars{
      .lr = static_cast<float>(rates.lr),
      .beta1 = static_cast<float>(beta1_),
      .beta2 = static_cast<float>(beta2_),
      .eps = static_cast<float>(kAdamEps),
      .bias_correction1 = static_cast<float>(1 - std::pow(beta1_, step_)),
      .bias_correction2_sqrt = static_cast<float>(std::sqrt(1 - std::pow(beta2_, step_))),
      .ema_weight = static_cast<float>(1.0 - rates.ema_momentum)};
  void* stream = c10::cuda::getCurrentCUDAStream(storage_->params.device().index()).stream();
  const auto update = [&](FlatRange range, float* ema) {
    const char* error =
        LaunchAdamwEma({.params = storage_->params.data_ptr<float>() + range.begin,
                        .grad = storage_->grad.data_ptr<float>() + range.begin,
                        .exp_avg = storage_->exp_avg.data_ptr<float>() + range.begin,
                        .exp_avg_sq = storage_->exp_avg_sq.data_ptr<float>() + range.begin,
                        .ema = ema,
                        .count = range.size()},
                       scalars, stream);
    TORCH_CHECK(error == nullptr, "launch of the AdamW kernel failed: ", error);
  };
  const FlatRange decay = storage_->encoder_decay();
  const FlatRange no_decay = storage_->encoder_no_decay();
  float* target = storage_->target.data_ptr<float>();
  scalars.weight_decay = static_cast<float>(rates.weight_decay);
  update({storage_->decay().begin, decay.begin}, nullptr);
  update(decay, target);
  scalars.weight_decay = 0;
  update({storage_->no_decay().begin, no_decay.begin}, nullptr);
  update(no_decay, target + decay.size());
}

}  // namespace jepa
