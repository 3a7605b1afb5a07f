// AdamW over the flat buffers, then the EMA of the encoder. ijepa-spec 3.
#ifndef IJEPA_WORKER_JEPA_MODEL_OPTIMIZER_H_
#define IJEPA_WORKER_JEPA_MODEL_OPTIMIZER_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "worker/jepa/kernels/adamw_ema.h"
#include "worker/jepa/model/flat_storage.h"
#include "worker/jepa/model/learner.h"

namespace jepa {

inline constexpr double kAdamEps = 1e-8;

// What one step on CUDA updates: all of params once, in order, the encoder's parts with their place
// in target; moments only where the storage keeps all. Pointers into the storage, on its device.
std::vector<AdamwEmaRange> UpdateRanges(const FlatStorage& storage);

// Borrows the storage, which must outlive it. Owned and used by the training thread. Throws
// c10::Error.
class Optimizer {
 public:
  Optimizer(FlatStorage* storage, double beta1, double beta2);

  // One step: decoupled weight decay on the decayed range, none on the rest; then
  // target = momentum * target + (1 - momentum) * encoder; then their bf16 copies, where kept.
  // Reads grad, does not clear it. On CPU PyTorch's fused AdamW over two long ranges; the caller
  // has made sure that the gradient is finite. On CUDA kernels/adamw_ema.h, which leave all as it
  // is where the gradient or the scalar kLoss behind it is not finite; waits for nothing.
  void Step(const UpdateRates& rates);

  // Step in two halves, for storage that owns some ranges only. First AdamW on those. `squares`, on
  // the device, is the sum of squares of the whole gradient. On CUDA both halves leave all as it is
  // where that or kLoss is not finite; on CPU the caller has made sure.
  void StepOwned(const UpdateRates& rates, const at::Tensor& squares);
  // Then, when params are whole again, the EMA and the bf16 copies.
  void StepTarget(const UpdateRates& rates);

  // An UpdateState, as bytes on the device: of the last Step. CUDA only.
  const at::Tensor& device_record() const { return state_; }
  // Steps done, those skipped on the device not counted. On CUDA waits for the device.
  int64_t step() const;
  void set_step(int64_t step);

 private:
  void StepOwnedCpu(const UpdateRates& rates);
  void StepOwnedCuda(const UpdateRates& rates, const at::Tensor& squares);
  void StepCuda(const UpdateRates& rates);
  UpdateRequest RequestOf(const UpdateRates& rates) const;
  UpdateState ReadState() const;
  const float* loss() const;
  UpdateState* device_state() const { return static_cast<UpdateState*>(state_.data_ptr()); }

  FlatStorage* storage_;
  double beta1_;
  double beta2_;
  int64_t step_ = 0;    // CPU.
  at::Tensor state_;    // CUDA: an UpdateState.
  at::Tensor partial_;  // CUDA: kNormPartials doubles.
};

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_MODEL_OPTIMIZER_H_
