// Pinned memory and events; see step_ring.h.
#include "worker/jepa/model/step_ring.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <cstring>

#include "common/check.h"
#include "worker/jepa/kernels/adamw_ema.h"

namespace jepa {

StepRing::StepRing(at::Device device) : cuda_(device.is_cuda()) {
  for (Slot& slot : slots_) {
    const at::TensorOptions host = at::TensorOptions().pinned_memory(cuda_);
    slot.scalars = at::empty({kStepScalars}, host.dtype(at::kFloat));
    slot.record = at::empty({static_cast<int64_t>(sizeof(UpdateState))}, host.dtype(at::kByte));
  }
}

void StepRing::Put(const at::Tensor& scalars, const at::Tensor& record) {
  IJEPA_CHECK(put_ < taken_ + slots_.size());
  const c10::NoGradGuard no_grad;
  Slot& slot = slots_[put_++ % slots_.size()];
  slot.scalars.copy_(scalars, /*non_blocking=*/true);
  slot.record.copy_(record, /*non_blocking=*/true);
  if (cuda_) slot.written.record();
}

StepResult StepRing::Take() {
  IJEPA_CHECK(!empty());
  const Slot& slot = slots_[taken_++ % slots_.size()];
  if (cuda_) slot.written.synchronize();
  UpdateState update;
  std::memcpy(&update, slot.record.const_data_ptr(), sizeof(update));
  StepResult result{.gradient_norm = update.norm, .updated = update.apply != 0};
  std::memcpy(result.scalars.data(), slot.scalars.const_data_ptr(), sizeof(result.scalars));
  return result;
}

}  // namespace jepa
