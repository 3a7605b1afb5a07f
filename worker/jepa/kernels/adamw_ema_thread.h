// The work of one thread of the kernels of adamw_ema.h.
#ifndef IJEPA_WORKER_JEPA_KERNELS_ADAMW_EMA_THREAD_H_
#define IJEPA_WORKER_JEPA_KERNELS_ADAMW_EMA_THREAD_H_

#include <math.h>

#include "worker/jepa/kernels/adamw_ema.h"

namespace jepa {

struct AdamwElement {
  float param;
  float exp_avg;
  float exp_avg_sq;
};

IJEPA_HOST_DEVICE void AdamwStep(const AdamwEmaScalars& s, float weight_decay, float grad,
                                 AdamwElement* e) {
  if (weight_decay != 0) e->param -= s.lr * weight_decay * e->param;
  e->exp_avg = fmaf(s.beta1, e->exp_avg, fmaf(-s.beta1, grad, grad));
  e->exp_avg_sq = fmaf(s.beta2, e->exp_avg_sq, fmaf(-s.beta2, grad * grad, grad * grad));
  const float step_size = s.lr / s.bias_correction1;
  const float denominator = sqrtf(e->exp_avg_sq) / s.bias_correction2_sqrt + s.eps;
  e->param -= step_size * e->exp_avg / denominator;
}

IJEPA_HOST_DEVICE float EmaStep(const AdamwEmaScalars& s, float param, float ema) {
  return ema + s.ema_weight * (param - ema);
}

// What follows element `at` of params, which is `param`: its bf16 copy, the EMA, and that one's.
IJEPA_HOST_DEVICE void FollowOne(const AdamwEmaRange& r, const AdamwEmaScalars& s, int64_t at,
                                 float param) {
  if (r.params_bf16 != nullptr) Convert(param, &r.params_bf16[at]);
  if (r.ema == nullptr) return;
  r.ema[at] = EmaStep(s, param, r.ema[at]);
  if (r.ema_bf16 != nullptr) Convert(r.ema[at], &r.ema_bf16[at]);
}

// The same of elements [at, at + 8).
IJEPA_HOST_DEVICE void FollowEight(const AdamwEmaRange& r, const AdamwEmaScalars& s, int64_t at,
                                   const float (&param)[kColumns]) {
  if (r.params_bf16 != nullptr) StoreEight(param, r.params_bf16 + at);
  if (r.ema == nullptr) return;
  float ema[kColumns];
  LoadEight(r.ema + at, ema);
  for (int i = 0; i < kColumns; ++i) ema[i] = EmaStep(s, param[i], ema[i]);
  StoreEight(ema, r.ema + at);
  if (r.ema_bf16 != nullptr) StoreEight(ema, r.ema_bf16 + at);
}

// Element `at`: for the end of a range that is no multiple of eight.
IJEPA_HOST_DEVICE void AdamwEmaOne(const AdamwEmaRange& r, const AdamwEmaScalars& s, int64_t at) {
  AdamwElement e{r.params[at], r.exp_avg[at], r.exp_avg_sq[at]};
  AdamwStep(s, r.decays ? s.weight_decay : 0, r.grad[at], &e);
  r.params[at] = e.param;
  r.exp_avg[at] = e.exp_avg;
  r.exp_avg_sq[at] = e.exp_avg_sq;
  FollowOne(r, s, at, e.param);
}

// Elements [at, at + 8); `at` is a multiple of eight.
IJEPA_HOST_DEVICE void AdamwEmaEight(const AdamwEmaRange& r, const AdamwEmaScalars& s, int64_t at) {
  float param[kColumns], exp_avg[kColumns], exp_avg_sq[kColumns], grad[kColumns];
  LoadEight(r.params + at, param);
  LoadEight(r.exp_avg + at, exp_avg);
  LoadEight(r.exp_avg_sq + at, exp_avg_sq);
  LoadEight(r.grad + at, grad);
  const float weight_decay = r.decays ? s.weight_decay : 0;
  for (int i = 0; i < kColumns; ++i) {
    AdamwElement e{param[i], exp_avg[i], exp_avg_sq[i]};
    AdamwStep(s, weight_decay, grad[i], &e);
    param[i] = e.param;
    exp_avg[i] = e.exp_avg;
    exp_avg_sq[i] = e.exp_avg_sq;
  }
  StoreEight(param, r.params + at);
  StoreEight(exp_avg, r.exp_avg + at);
  StoreEight(exp_avg_sq, r.exp_avg_sq + at);
  FollowEight(r, s, at, param);
}

// The second halves of both alone.
IJEPA_HOST_DEVICE void EmaOne(const AdamwEmaRange& r, const AdamwEmaScalars& s, int64_t at) {
  FollowOne(r, s, at, r.params[at]);
}
IJEPA_HOST_DEVICE void EmaEight(const AdamwEmaRange& r, const AdamwEmaScalars& s, int64_t at) {
  float param[kColumns];
  LoadEight(r.params + at, param);
  FollowEight(r, s, at, param);
}

// Ends a norm and begins a step: one thread.
IJEPA_HOST_DEVICE void PrepareUpdateThread(const UpdateRequest& request, double squares, float loss,
                                           UpdateState* state) {
  state->norm = sqrt(squares);
  // Also false for NaN.
  const bool finite = squares <= 1.7976931348623157e308 && fabsf(loss) <= 3.4028234663852886e38f;
  state->apply = finite ? 1 : 0;
  if (state->apply == 0) {
    ++state->skipped;
    return;
  }
  ++state->step;
  const double t = static_cast<double>(state->step);
  AdamwEmaScalars& s = state->scalars;
  s.lr = static_cast<float>(request.lr);
  s.beta1 = static_cast<float>(request.beta1);
  s.beta2 = static_cast<float>(request.beta2);
  s.weight_decay = static_cast<float>(request.weight_decay);
  s.eps = static_cast<float>(request.eps);
  s.bias_correction1 = static_cast<float>(1 - pow(request.beta1, t));
  s.bias_correction2_sqrt = static_cast<float>(sqrt(1 - pow(request.beta2, t)));
  s.ema_weight = static_cast<float>(request.ema_weight);
}

// Squares of elements first, first + step, ... .
IJEPA_HOST_DEVICE double SquaresThread(const float* grad, int64_t count, int64_t first,
                                       int64_t step) {
  double squares = 0;
  for (int64_t i = first; i < count / kColumns; i += step) {
    float eight[kColumns];
    LoadEight(grad + i * kColumns, eight);
    for (float value : eight) squares += static_cast<double>(value) * value;
  }
  const int64_t tail = count / kColumns * kColumns + first;
  if (tail < count) squares += static_cast<double>(grad[tail]) * grad[tail];
  return squares;
}

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_KERNELS_ADAMW_EMA_THREAD_H_
