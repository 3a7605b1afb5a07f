// AdamW and EMA; see optimizer.h.
#include "worker/jepa/model/optimizer.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <cstring>

#include "worker/jepa/model/kernel_call.h"

namespace jepa {
namespace {

at::Tensor Slice(const at::Tensor& flat, FlatRange range) {
  return flat.narrow(0, range.begin, range.size());
}

// Calls `update(range of params, the same range of the moments, whether it decays)` for all that is
// owned.
template <typename Update>
void ForEachOwned(const FlatStorage& storage, Update update) {
  for (const bool decays : {true, false}) {
    const FlatRange part = decays ? storage.decay() : storage.no_decay();
    for (const OwnedRange& owned : storage.owned()) {
      const FlatRange range = Overlap(part, owned.range);
      if (range.size() <= 0) continue;
      const int64_t begin = owned.offset + range.begin - owned.range.begin;
      update(range, FlatRange{begin, begin + range.size()}, decays);
    }
  }
}

}  // namespace

Optimizer::Optimizer(FlatStorage* storage, double beta1, double beta2)
    : storage_(storage), beta1_(beta1), beta2_(beta2) {}

UpdateState Optimizer::ReadState() const {
  UpdateState state;
  const at::Tensor host = state_.cpu();
  std::memcpy(&state, host.data_ptr(), sizeof(state));
  return state;
}

int64_t Optimizer::step() const { return state_.defined() ? ReadState().step : step_; }

void Optimizer::set_step(int64_t step) {
  step_ = step;
  if (!storage_->params.is_cuda()) return;
  const at::TensorOptions options = storage_->params.options();
  if (!state_.defined()) {
    state_ = at::empty({static_cast<int64_t>(sizeof(UpdateState))}, options.dtype(at::kByte));
    partial_ = at::empty({kNormPartials}, options.dtype(at::kDouble));
  }
  const UpdateState state{.step = step};
  const at::Tensor host = at::empty({state_.size(0)}, at::kByte);
  std::memcpy(host.data_ptr(), &state, sizeof(state));
  state_.copy_(host);
}

void Optimizer::Step(const UpdateRates& rates) {
  const c10::NoGradGuard no_grad;
  if (storage_->params.is_cuda()) {
    StepCuda(rates);
    return;
  }
  StepOwnedCpu(rates);
  StepTarget(rates);
}

void Optimizer::StepOwned(const UpdateRates& rates, const at::Tensor& squares) {
  const c10::NoGradGuard no_grad;
  if (storage_->params.is_cuda()) {
    StepOwnedCuda(rates, squares);
  } else {
    StepOwnedCpu(rates);
  }
}

void Optimizer::StepOwnedCpu(const UpdateRates& rates) {
  ++step_;
  const at::Tensor steps = at::full({1}, static_cast<float>(step_), at::kFloat);
  ForEachOwned(*storage_, [&](FlatRange range, FlatRange moments, bool decays) {
    at::_fused_adamw_({Slice(storage_->params, range)}, {Slice(storage_->grad, range)},
                      {Slice(storage_->exp_avg, moments)}, {Slice(storage_->exp_avg_sq, moments)},
                      {}, {steps}, rates.lr, beta1_, beta2_, decays ? rates.weight_decay : 0.0,
                      kAdamEps, /*amsgrad=*/false, /*maximize=*/false);
  });
}

void Optimizer::StepOwnedCuda(const UpdateRates& rates, const at::Tensor& squares) {
  if (!state_.defined()) set_step(step_);
  const FlatStorage& storage = *storage_;
  const LaunchStream stream(storage.params);
  partial_.zero_();
  partial_.narrow(0, 0, 1).copy_(squares.view({1}));
  CheckLaunch(LaunchPrepareUpdate(RequestOf(rates), partial_.data_ptr<double>(), loss(),
                                  device_state(), stream),
              "prepare_update");
  ForEachOwned(storage, [&](FlatRange range, FlatRange moments, bool decays) {
    const AdamwEmaRange args{.params = storage.params.data_ptr<float>() + range.begin,
                             .grad = storage.grad.data_ptr<float>() + range.begin,
                             .exp_avg = storage.exp_avg.data_ptr<float>() + moments.begin,
                             .exp_avg_sq = storage.exp_avg_sq.data_ptr<float>() + moments.begin,
                             .count = range.size(),
                             .decays = decays};
    CheckLaunch(LaunchAdamwEma(args, device_state(), stream), "adamw_ema");
  });
}

void Optimizer::StepTarget(const UpdateRates& rates) {
  const c10::NoGradGuard no_grad;
  if (storage_->params.is_cuda()) {
    const LaunchStream stream(storage_->params);
    for (const AdamwEmaRange& range : UpdateRanges(*storage_)) {
      CheckLaunch(LaunchEma(range, device_state(), stream), "ema");
    }
    return;
  }
  int64_t cursor = 0;
  for (FlatRange range : {storage_->encoder_decay(), storage_->encoder_no_decay()}) {
    storage_->target.narrow(0, cursor, range.size())
        .lerp_(Slice(storage_->params, range), 1.0 - rates.ema_momentum);
    cursor += range.size();
  }
  storage_->RefreshBf16();
}

const float* Optimizer::loss() const {
  return storage_->grad.data_ptr<float>() + storage_->count() + static_cast<int>(StepScalar::kLoss);
}

UpdateRequest Optimizer::RequestOf(const UpdateRates& rates) const {
  return {.lr = rates.lr,
          .beta1 = beta1_,
          .beta2 = beta2_,
          .weight_decay = rates.weight_decay,
          .eps = kAdamEps,
          .ema_weight = 1.0 - rates.ema_momentum};
}

void Optimizer::StepCuda(const UpdateRates& rates) {
  if (!state_.defined()) set_step(step_);
  const FlatStorage& storage = *storage_;
  const LaunchStream stream(storage.params);
  double* partial = partial_.data_ptr<double>();
  CheckLaunch(LaunchGradientNorm(storage.grad.data_ptr<float>(), storage.count(), partial, stream),
              "gradient_norm");
  CheckLaunch(LaunchPrepareUpdate(RequestOf(rates), partial, loss(), device_state(), stream),
              "prepare_update");
  for (const AdamwEmaRange& range : UpdateRanges(storage)) {
    CheckLaunch(LaunchAdamwEma(range, device_state(), stream), "adamw_ema");
  }
}

std::vector<AdamwEmaRange> UpdateRanges(const FlatStorage& storage) {
  const auto range_of = [&](FlatRange flat, bool decays) {
    AdamwEmaRange range{.params = storage.params.data_ptr<float>() + flat.begin,
                        .grad = storage.grad.data_ptr<float>() + flat.begin,
                        .count = flat.size(),
                        .decays = decays};
    if (storage.owns_all()) {
      range.exp_avg = storage.exp_avg.data_ptr<float>() + flat.begin;
      range.exp_avg_sq = storage.exp_avg_sq.data_ptr<float>() + flat.begin;
    }
    if (storage.params_bf16.defined()) {
      range.params_bf16 = static_cast<Bf16*>(storage.params_bf16.data_ptr()) + flat.begin;
    }
    return range;
  };
  int64_t in_target = 0;
  const auto encoder_range_of = [&](FlatRange flat, bool decays) {
    AdamwEmaRange range = range_of(flat, decays);
    range.ema = storage.target.data_ptr<float>() + in_target;
    if (storage.target_bf16.defined()) {
      range.ema_bf16 = static_cast<Bf16*>(storage.target_bf16.data_ptr()) + in_target;
    }
    in_target += flat.size();
    return range;
  };
  const FlatRange decay = storage.encoder_decay(), no_decay = storage.encoder_no_decay();
  return {range_of({storage.decay().begin, decay.begin}, true), encoder_range_of(decay, true),
          range_of({storage.no_decay().begin, no_decay.begin}, false),
          encoder_range_of(no_decay, false)};
}

}  // namespace jepa
