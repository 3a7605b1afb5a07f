// See fair_share.h.
#include "coordinator/core/fair_share.h"

#include <cmath>

namespace ijepa::coordinator {

QueueUsage Decay(const QueueUsage& usage, int64_t slots, absl::Time now, absl::Duration half_life) {
  if (usage.time == absl::InfinitePast()) return {0, now};
  if (now <= usage.time) return usage;
  const double seconds = absl::ToDoubleSeconds(now - usage.time);
  const double rate = std::log(2) / absl::ToDoubleSeconds(half_life);
  const double kept = std::exp(-rate * seconds);
  // The integral of what was used since, each moment decayed to now.
  const double added = static_cast<double>(slots) * (1 - kept) / rate;
  return {usage.slot_seconds * kept + added, now};
}

}  // namespace ijepa::coordinator
