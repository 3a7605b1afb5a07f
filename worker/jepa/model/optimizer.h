// AdamW over the flat buffers, then the EMA of the encoder. ijepa-spec 3.
#ifndef IJEPA_WORKER_JEPA_MODEL_OPTIMIZER_H_
#define IJEPA_WORKER_JEPA_MODEL_OPTIMIZER_H_

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "worker/jepa/model/flat_storage.h"
#include "worker/jepa/model/learner.h"

namespace jepa {

inline constexpr double kAdamEps = 1e-8;

// Borrows the storage, which must outlive it. Owned and used by the training thread. Throws
// c10::Error.
class Optimizer {
 public:
  Optimizer(FlatStorage* storage, double beta1, double beta2);

  // One step: decoupled weight decay on the decayed range, none on the rest; then
  // target = momentum * target + (1 - momentum) * encoder. Reads grad, does not clear it. On CPU
  // PyTorch's fused AdamW over two long ranges, on CUDA one kernel of jepa_kernels per range.
  void Step(const UpdateRates& rates);

  int64_t step() const { return step_; }  // Steps done.
  void set_step(int64_t step) { step_ = step; }

 private:
  void StepCpu(const UpdateRates& rates);
  void StepCuda(const UpdateRates& rates);

  FlatStorage* storage_;
  double beta1_;
  double beta2_;
  int64_t step_ = 0;
};

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_MODEL_OPTIMIZER_H_
