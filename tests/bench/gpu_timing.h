// Times on the GPU by CUDA events, and their percentiles.
#ifndef IJEPA_TESTS_BENCH_GPU_TIMING_H_
#define IJEPA_TESTS_BENCH_GPU_TIMING_H_

#include <ATen/cuda/CUDAEvent.h>
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAStream.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>
#include <vector>

namespace jepa::bench {

// A moment on the current stream.
class Moment {
 public:
  Moment() : event_(std::make_unique<at::cuda::CUDAEvent>(cudaEventDefault)) {
    event_->record(c10::cuda::getCurrentCUDAStream());
  }
  // Both must have come to pass.
  double MillisecondsUntil(const Moment& later) const {
    return event_->elapsed_time(*later.event_);
  }

 private:
  std::unique_ptr<at::cuda::CUDAEvent> event_;
};

struct Percentiles {
  double p10 = 0, median = 0, p90 = 0;
};

inline Percentiles PercentilesOf(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const auto at = [&](double share) {
    return values[static_cast<size_t>(std::lround(share * static_cast<double>(values.size() - 1)))];
  };
  return {at(0.1), at(0.5), at(0.9)};
}

// Milliseconds of one call of `work`, the median of `repeats` after a warm-up of three.
inline double MedianMs(const std::function<void()>& work, int repeats = 20) {
  for (int i = 0; i < 3; ++i) work();
  std::vector<Moment> moments;
  for (int i = 0; i < repeats; ++i) {
    moments.emplace_back();
    work();
  }
  moments.emplace_back();
  c10::cuda::device_synchronize();
  std::vector<double> times;
  for (int i = 0; i < repeats; ++i) times.push_back(moments[i].MillisecondsUntil(moments[i + 1]));
  return PercentilesOf(times).median;
}

}  // namespace jepa::bench

#endif  // IJEPA_TESTS_BENCH_GPU_TIMING_H_
