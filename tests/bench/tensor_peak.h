// The most that LibTorch's allocator had given out at once.
#ifndef IJEPA_TESTS_BENCH_TENSOR_PEAK_H_
#define IJEPA_TESTS_BENCH_TENSOR_PEAK_H_

#include <c10/core/Allocator.h>
#include <c10/util/ThreadLocalDebugInfo.h>

#include <algorithm>
#include <cstdint>
#include <memory>

namespace jepa {

// Counts what this thread allocates on the CPU from its making to its end; one at a time.
class TensorPeak {
 public:
  TensorPeak() : guard_(c10::DebugInfoKind::PROFILER_STATE, meter_) {}
  int64_t bytes() const { return meter_->peak; }

 private:
  struct Meter : c10::MemoryReportingInfoBase {
    void reportMemoryUsage(void*, int64_t change, size_t, size_t, c10::Device) override {
      now += change;
      peak = std::max(peak, now);
    }
    bool memoryProfilingEnabled() const override { return true; }
    int64_t now = 0;
    int64_t peak = 0;
  };

  const std::shared_ptr<Meter> meter_ = std::make_shared<Meter>();
  const c10::DebugInfoGuard guard_;
};

}  // namespace jepa

#endif  // IJEPA_TESTS_BENCH_TENSOR_PEAK_H_
