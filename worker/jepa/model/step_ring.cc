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

void StepRing::EndSpan(StepSpan span) {
  IJEPA_CHECK(put_ < taken_ + slots_.size());
  Slot& slot = next();
  if (span == StepSpan::kBegin) slot.spans = 0;
  if (slot.spans == slot.ends.size()) slot.ends.emplace_back();
  SpanEnd& end = slot.ends[slot.spans++];
  end.span = span;
  end.reached.record();
}

void StepRing::Put(const at::Tensor& scalars, const at::Tensor& record) {
  IJEPA_CHECK(put_ < taken_ + slots_.size());
  const c10::NoGradGuard no_grad;
  Slot& slot = next();
  slot.scalars.copy_(scalars, /*non_blocking=*/true);
  slot.record.copy_(record, /*non_blocking=*/true);
  if (cuda_) {
    EndSpan(StepSpan::kWork);
    slot.written.record();
  }
  ++put_;
}

StepSeconds StepRing::Measure(const Slot& slot) {
  constexpr double kSecondsPerMillisecond = 1e-3;
  StepSeconds seconds;
  for (size_t i = 1; i < slot.spans; ++i) {
    const double took =
        kSecondsPerMillisecond * slot.ends[i - 1].reached.elapsed_time(slot.ends[i].reached);
    if (slot.ends[i].span == StepSpan::kWork) seconds.work += took;
    if (slot.ends[i].span == StepSpan::kPeers) seconds.peers += took;
  }
  return seconds;
}

StepResult StepRing::Take() {
  IJEPA_CHECK(!empty());
  Slot& slot = slots_[taken_++ % slots_.size()];
  if (cuda_) {
    slot.written.synchronize();
    seconds_ = Measure(slot);
    slot.spans = 0;
  }
  UpdateState update;
  std::memcpy(&update, slot.record.const_data_ptr(), sizeof(update));
  StepResult result{.gradient_norm = update.norm, .updated = update.apply != 0};
  std::memcpy(result.scalars.data(), slot.scalars.const_data_ptr(), sizeof(result.scalars));
  return result;
}

}  // namespace jepa
