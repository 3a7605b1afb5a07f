// Tokens by which a worker shows that a backend started it for one attempt.
#ifndef IJEPA_COORDINATOR_ALLOCATION_TOKENS_H_
#define IJEPA_COORDINATOR_ALLOCATION_TOKENS_H_

#include <cstdint>
#include <string>
#include <utility>

#include "absl/strings/string_view.h"

namespace ijepa::coordinator {

// Immutable, thread-safe.
class AllocationTokens {
 public:
  // `key`: secret, the same from start to start, so that workers find the next coordinator.
  explicit AllocationTokens(std::string key) : key_(std::move(key)) {}

  // HMAC-SHA256 of the job's uid and the generation, as hexadecimal text.
  std::string For(absl::string_view uid, int64_t generation) const;
  // In a time that does not tell how much of it was right.
  bool Matches(absl::string_view token, absl::string_view uid, int64_t generation) const;

  // What tells the allocations of this coordinator from those of another on the same cluster: 8
  // hexadecimal digits.
  std::string ClusterName() const;

 private:
  const std::string key_;
};

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_ALLOCATION_TOKENS_H_
