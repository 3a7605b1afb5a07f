// Images per second, smoothed.
#ifndef IJEPA_WORKER_JEPA_RATE_METER_H_
#define IJEPA_WORKER_JEPA_RATE_METER_H_

#include "absl/time/time.h"

namespace jepa {

// Exponentially weighted mean of a rate over wall time, unbiased from the first step on.
// Thread-compatible.
class RateMeter {
 public:
  // `memory`: the age at which a step counts 1/e. Longer: smoother and slower to follow.
  explicit RateMeter(absl::Duration memory) : memory_(memory) {}
  // `count` things in `took`; ignored when `took` is not positive.
  void Add(double count, absl::Duration took);
  // 0 before the first Add.
  double per_second() const;

 private:
  const absl::Duration memory_;
  double count_ = 0;
  double seconds_ = 0;
};

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_RATE_METER_H_
