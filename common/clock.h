// Time as a dependency: code that waits or measures takes a Clock, pure code takes `now`.
#ifndef IJEPA_COMMON_CLOCK_H_
#define IJEPA_COMMON_CLOCK_H_

#include "absl/time/time.h"

namespace ijepa {

// Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;
  // Wall time, for what people read and what is stored.
  virtual absl::Time Now() = 0;
  // Time since an arbitrary start that never goes back and counts suspend (CLOCK_BOOTTIME), for
  // leases and deadlines.
  virtual absl::Duration Monotonic() = 0;

  // The machine's clock. Lives for ever.
  static Clock& Real();
};

}  // namespace ijepa

#endif  // IJEPA_COMMON_CLOCK_H_
