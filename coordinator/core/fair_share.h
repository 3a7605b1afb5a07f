// What queues have used, those of long ago counting less. Pure.
#ifndef IJEPA_COORDINATOR_CORE_FAIR_SHARE_H_
#define IJEPA_COORDINATOR_CORE_FAIR_SHARE_H_

#include <cstdint>

#include "absl/time/time.h"

namespace ijepa::coordinator {

struct QueueUsage {
  // Slot-seconds, decayed to `time`.
  double slot_seconds = 0;
  absl::Time time = absl::InfinitePast();
};

// The usage at `now`, of a queue that has held `slots` since usage.time. A clock that went back
// adds nothing.
QueueUsage Decay(const QueueUsage& usage, int64_t slots, absl::Time now, absl::Duration half_life);

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_CORE_FAIR_SHARE_H_
