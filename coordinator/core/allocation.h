// Slots that a backend gives one attempt: what they are called and how they end, in words that all
// backends share (docs/OPERATIONS.md has the table of their own words).
#ifndef IJEPA_COORDINATOR_CORE_ALLOCATION_H_
#define IJEPA_COORDINATOR_CORE_ALLOCATION_H_

#include <cstdint>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace ijepa::coordinator {

// "demo-k3q7xa-g2": what the backend knows the allocation by, and what it is found again by.
inline std::string AllocationName(absl::string_view job, int64_t generation) {
  return absl::StrCat(job, "-g", generation);
}

enum class AllocationEnd {
  // Its workers ended by themselves, as they do once it is released.
  kCompleted,
  // Its workers' program failed.
  kFailed,
  // The backend gave its slots to others, or put it back into its queue.
  kPreempted,
  // Its time was over.
  kTimeLimit,
  // A machine of it failed, or never came up.
  kNodeFailed,
  // A process of it was killed for memory.
  kOutOfMemory,
  // Somebody ended it at the backend.
  kCancelled,
  // The backend refused it: it was never in its queue.
  kRefused,
  // The backend no longer knows it, and did for long enough not.
  kVanished,
};

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_CORE_ALLOCATION_H_
