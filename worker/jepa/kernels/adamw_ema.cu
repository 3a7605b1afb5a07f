// AdamW and EMA in one pass; see adamw_ema.h. Memory-bound: 32 bytes read and 20 written per
// parameter. One thread handles four neighbouring floats (16-byte transactions), grid-stride over
// the range.
#include <cuda_runtime.h>

#include "worker/jepa/kernels/adamw_ema.h"

namespace jepa {
namespace {

constexpr int kThreads = 256;
constexpr int64_t kMaxBlocks = 132 * 16;  // Enough waves for the SMs of an H200.

struct Element {
  float param;
  float exp_avg;
  float exp_avg_sq;
};

__device__ __forceinline__ void Step(const AdamwEmaScalars& s, float grad, Element& e) {
  if (s.weight_decay != 0) e.param -= s.lr * s.weight_decay * e.param;
  e.exp_avg = fmaf(s.beta1, e.exp_avg, fmaf(-s.beta1, grad, grad));
  e.exp_avg_sq = fmaf(s.beta2, e.exp_avg_sq, fmaf(-s.beta2, grad * grad, grad * grad));
  const float step_size = s.lr / s.bias_correction1;
  const float denominator = sqrtf(e.exp_avg_sq) / s.bias_correction2_sqrt + s.eps;
  e.param -= step_size * e.exp_avg / denominator;
}

__device__ __forceinline__ void StepAt(const AdamwEmaRange& r, const AdamwEmaScalars& s,
                                       int64_t i) {
  Element e{r.params[i], r.exp_avg[i], r.exp_avg_sq[i]};
  Step(s, r.grad[i], e);
  r.params[i] = e.param;
  r.exp_avg[i] = e.exp_avg;
  r.exp_avg_sq[i] = e.exp_avg_sq;
  if (r.ema != nullptr) r.ema[i] += s.ema_weight * (e.param - r.ema[i]);
}

__device__ __forceinline__ void StepFour(const AdamwEmaRange& r, const AdamwEmaScalars& s,
                                         int64_t i) {
  float4 param = reinterpret_cast<float4*>(r.params)[i];
  float4 exp_avg = reinterpret_cast<float4*>(r.exp_avg)[i];
  float4 exp_avg_sq = reinterpret_cast<float4*>(r.exp_avg_sq)[i];
  const float4 grad = reinterpret_cast<const float4*>(r.grad)[i];
  float* p = &param.x;
  float* m = &exp_avg.x;
  float* v = &exp_avg_sq.x;
  const float* g = &grad.x;
#pragma unroll
  for (int k = 0; k < 4; ++k) {
    Element e{p[k], m[k], v[k]};
    Step(s, g[k], e);
    p[k] = e.param;
    m[k] = e.exp_avg;
    v[k] = e.exp_avg_sq;
  }
  reinterpret_cast<float4*>(r.params)[i] = param;
  reinterpret_cast<float4*>(r.exp_avg)[i] = exp_avg;
  reinterpret_cast<float4*>(r.exp_avg_sq)[i] = exp_avg_sq;
  if (r.ema == nullptr) return;
  float4 ema = reinterpret_cast<float4*>(r.ema)[i];
  float* a = &ema.x;
#pragma unroll
  for (int k = 0; k < 4; ++k) a[k] += s.ema_weight * (p[k] - a[k]);
  reinterpret_cast<float4*>(r.ema)[i] = ema;
}

__global__ void __launch_bounds__(kThreads)
    AdamwEmaKernel(AdamwEmaRange range, AdamwEmaScalars scalars) {
  const int64_t stride = static_cast<int64_t>(gridDim.x) * kThreads;
  const int64_t first = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  const int64_t fours = range.count / 4;
  for (int64_t i = first; i < fours; i += stride) StepFour(range, scalars, i);
  if (first < range.count % 4) StepAt(range, scalars, fours * 4 + first);
}

}  // namespace

const char* LaunchAdamwEma(const AdamwEmaRange& range, const AdamwEmaScalars& scalars,
                           void* stream) {
  if (range.count == 0) return nullptr;
  const int64_t wanted = (range.count / 4 + kThreads - 1) / kThreads;
  const int64_t blocks = wanted < 1 ? 1 : (wanted < kMaxBlocks ? wanted : kMaxBlocks);
  AdamwEmaKernel<<<static_cast<unsigned>(blocks), kThreads, 0, static_cast<cudaStream_t>(stream)>>>(
      range, scalars);
  const cudaError_t error = cudaGetLastError();
  return error == cudaSuccess ? nullptr : cudaGetErrorString(error);
}

}  // namespace jepa
