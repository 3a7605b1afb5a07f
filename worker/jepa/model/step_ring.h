// Results of steps on their way from the device to the host. The device writes each into memory of
// its own once it is done with the step; the host reads it later, in order, with the time that the
// device spent on the step.
#ifndef IJEPA_WORKER_JEPA_MODEL_STEP_RING_H_
#define IJEPA_WORKER_JEPA_MODEL_STEP_RING_H_

#include <ATen/core/Tensor.h>
#include <ATen/cuda/CUDAEvent.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "worker/jepa/model/learner.h"

namespace jepa {

// Owned and used by the training thread. Throws c10::Error.
class StepRing {
 public:
  // Memory of the host, pinned for a CUDA device.
  explicit StepRing(at::Device device);

  // As Learner::EndSpan, of the step that is put next. CUDA.
  void EndSpan(StepSpan span);
  // Ends the step, whose last span was kWork. Has the device copy `scalars`, kStepScalars floats,
  // and `record`, the bytes of an UpdateState, when it has come to this point of the current
  // stream. Waits for nothing. At most kMaxResultsLeft results may be untaken before.
  void Put(const at::Tensor& scalars, const at::Tensor& record);
  bool empty() const { return taken_ == put_; }
  // The oldest that was put and not taken, of which there must be one. Waits until it is there.
  StepResult Take();
  // As Learner::DeviceSeconds.
  std::optional<StepSeconds> seconds() const { return seconds_; }

 private:
  struct SpanEnd {
    StepSpan span = StepSpan::kIdle;
    at::cuda::CUDAEvent reached{cudaEventDefault};  // With the time.
  };
  struct Slot {
    at::Tensor scalars;
    at::Tensor record;
    at::cuda::CUDAEvent written;  // CUDA.
    std::vector<SpanEnd> ends;    // The first `spans`; the rest is kept for longer steps.
    size_t spans = 0;
  };

  Slot& next() { return slots_[put_ % slots_.size()]; }
  static StepSeconds Measure(const Slot& slot);

  const bool cuda_;
  std::array<Slot, kMaxResultsLeft + 1> slots_;
  // taken_ <= put_ <= taken_ + slots_.size(); number n is in slot n % slots_.size().
  uint64_t put_ = 0;
  uint64_t taken_ = 0;
  std::optional<StepSeconds> seconds_;
};

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_MODEL_STEP_RING_H_
