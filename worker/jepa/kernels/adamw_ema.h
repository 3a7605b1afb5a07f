// One pass over flat buffers: AdamW, the EMA of the new parameters, and the bf16 copies of both.
// What follows from the gradient lies in device memory: one that is not finite is skipped there,
// without the host. No CUDA headers needed here.
//
// A step is three launches on one stream: LaunchGradientNorm, LaunchPrepareUpdate, then
// LaunchAdamwEma for every range. LaunchPrepareUpdate takes the rates by value: a captured graph
// would replay those of its first step, so the update stays out of graphs.
#ifndef IJEPA_WORKER_JEPA_KERNELS_ADAMW_EMA_H_
#define IJEPA_WORKER_JEPA_KERNELS_ADAMW_EMA_H_

#include <cstdint>

#include "worker/jepa/kernels/element.h"

namespace jepa {

// What the host wants of one step.
struct UpdateRequest {
  double lr = 0;
  double beta1 = 0;
  double beta2 = 0;
  double weight_decay = 0;
  double eps = 0;
  double ema_weight = 0;  // 1 - momentum.
};

// Scalars of one step as the kernels use them. bias_correction1 = 1 - beta1^t,
// bias_correction2_sqrt = sqrt(1 - beta2^t), t >= 1.
struct AdamwEmaScalars {
  float lr = 0;
  float beta1 = 0;
  float beta2 = 0;
  float weight_decay = 0;
  float eps = 0;
  float bias_correction1 = 0;
  float bias_correction2_sqrt = 0;
  float ema_weight = 0;
};

// Lives in device memory. The host writes `step` when it restores and reads the rest when it wants.
struct UpdateState {
  int64_t step = 0;     // Updates done.
  double norm = 0;      // L2 norm of the last gradient.
  int32_t apply = 0;    // 1 if norm and loss were finite: ranges are updated; else nothing changes.
  int32_t skipped = 0;  // Updates left out since the state was made.
  AdamwEmaScalars scalars;
};

// Device pointers to `count` elements each, aligned to 16 bytes. Null where not kept: ema,
// params_bf16, ema_bf16.
struct AdamwEmaRange {
  float* params = nullptr;
  const float* grad = nullptr;
  float* exp_avg = nullptr;
  float* exp_avg_sq = nullptr;
  float* ema = nullptr;
  Bf16* params_bf16 = nullptr;
  Bf16* ema_bf16 = nullptr;
  int64_t count = 0;
  bool decays = false;  // Weight decay applies.
};

inline constexpr int64_t kNormPartials = 1056;  // Doubles of scratch that the norm needs.

// partial[0, kNormPartials): sums of squares of grad[0, count), in fp64 and a fixed order.
const char* LaunchGradientNorm(const float* grad, int64_t count, double* partial, void* stream);
// Makes norm, apply and, where norm and `loss`[0] are finite, the next step and its scalars.
const char* LaunchPrepareUpdate(const UpdateRequest& request, const double* partial,
                                const float* loss, UpdateState* state, void* stream);
// Arithmetic order is that of PyTorch's fused AdamW on CUDA and of lerp for small weights:
// ema += ema_weight * (params - ema). Reads `state` on the device; does nothing if !state->apply.
// 32 bytes read and 24 written per parameter with all copies.
// The second half alone, of parameters that another rank has updated: EMA and bf16 copies. Reads
// neither gradient nor moments of `range`.
const char* LaunchEma(const AdamwEmaRange& range, const UpdateState* state, void* stream);
// All four: null, or the text of the CUDA error of the launch; `stream` is a cudaStream_t.
const char* LaunchAdamwEma(const AdamwEmaRange& range, const UpdateState* state, void* stream);

// The same on host memory: for tests where there is no GPU.
void GradientNormOnHost(const float* grad, int64_t count, double* partial);
void PrepareUpdateOnHost(const UpdateRequest& request, const double* partial, const float* loss,
                         UpdateState* state);
void AdamwEmaOnHost(const AdamwEmaRange& range, const UpdateState& state);
void EmaOnHost(const AdamwEmaRange& range, const UpdateState& state);

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_KERNELS_ADAMW_EMA_H_
