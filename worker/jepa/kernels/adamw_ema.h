// One pass over flat buffers: AdamW, then the EMA of the new parameters. No CUDA headers needed
// here.
#ifndef IJEPA_WORKER_JEPA_KERNELS_ADAMW_EMA_H_
#define IJEPA_WORKER_JEPA_KERNELS_ADAMW_EMA_H_

#include <cstdint>

namespace jepa {

// Scalars of one step. bias_correction1 = 1 - beta1^t, bias_correction2_sqrt = sqrt(1 - beta2^t), t
// >= 1.
struct AdamwEmaScalars {
  float lr = 0;
  float beta1 = 0;
  float beta2 = 0;
  float weight_decay = 0;
  float eps = 0;
  float bias_correction1 = 0;
  float bias_correction2_sqrt = 0;
  float ema_weight = 0;  // 1 - momentum.
};

// Device pointers to `count` fp32 each, 16-byte aligned. ema is null where no average is kept.
struct AdamwEmaRange {
  float* params = nullptr;
  const float* grad = nullptr;
  float* exp_avg = nullptr;
  float* exp_avg_sq = nullptr;
  float* ema = nullptr;
  int64_t count = 0;
};

// Enqueues the update on `stream` (a cudaStream_t) and returns at once. Arithmetic order is that of
// PyTorch's fused AdamW on CUDA and of lerp for small weights: ema += ema_weight * (params - ema).
// Returns null, or the text of the CUDA error of the launch.
const char* LaunchAdamwEma(const AdamwEmaRange& range, const AdamwEmaScalars& scalars,
                           void* stream);

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_KERNELS_ADAMW_EMA_H_
