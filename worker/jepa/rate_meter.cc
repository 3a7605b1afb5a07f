// Both sums fade alike, so that their quotient has no start-up bias.
#include "worker/jepa/rate_meter.h"

#include <cmath>

namespace jepa {

void RateMeter::Add(double count, absl::Duration took) {
  if (took <= absl::ZeroDuration()) return;
  const double fade = std::exp(-absl::FDivDuration(took, memory_));
  count_ = count_ * fade + count;
  seconds_ = seconds_ * fade + absl::ToDoubleSeconds(took);
}

double RateMeter::per_second() const { return seconds_ > 0 ? count_ / seconds_ : 0; }

}  // namespace jepa
