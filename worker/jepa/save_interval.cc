// See save_interval.h.
#include "worker/jepa/save_interval.h"

#include <algorithm>
#include <cmath>

namespace jepa {
namespace {

// Taken until a save has been measured: a few seconds for the state of a large model.
constexpr absl::Duration kPresumedStall = absl::Seconds(1);

}  // namespace

SaveInterval::SaveInterval(const CheckpointConfig& config, absl::Duration now)
    : adapts_(config.auto_interval),
      between_failures_(absl::Hours(config.hours_between_failures)),
      interval_(absl::InfiniteDuration()),
      last_(now) {
  if (adapts_) {
    interval_ = Choose(kPresumedStall);
  } else if (config.every_minutes > 0) {
    interval_ = absl::Minutes(config.every_minutes);
  }
}

bool SaveInterval::Due(absl::Duration now) const { return now - last_ >= interval_; }

void SaveInterval::Saved(absl::Duration now, absl::Duration stalled) {
  last_ = now;
  ++saves_;
  if (adapts_) interval_ = Choose(stalled / saves_);
}

absl::Duration SaveInterval::Choose(absl::Duration stall) const {
  const double seconds =
      std::sqrt(2 * absl::ToDoubleSeconds(stall) * absl::ToDoubleSeconds(between_failures_));
  return std::clamp(absl::Seconds(seconds), kShortest, kLongest);
}

}  // namespace jepa
