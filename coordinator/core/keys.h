// Keys of the store. Numbers are padded, so that keys of one job are in order.
#ifndef IJEPA_COORDINATOR_CORE_KEYS_H_
#define IJEPA_COORDINATOR_CORE_KEYS_H_

#include <cstdint>
#include <string>

#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"

namespace ijepa::coordinator {

// StoredMeta.
inline constexpr char kMetaKey[] = "meta";

// StoredNumbers.
inline constexpr char kNumbersKey[] = "numbers";
// StoredJob.
inline std::string JobKey(absl::string_view id) { return absl::StrFormat("job/%s", id); }
// JobSpec, written once.
inline std::string SpecKey(absl::string_view id) { return absl::StrFormat("spec/%s", id); }
// StoredCurve.
inline std::string CurveKey(absl::string_view id) { return absl::StrFormat("curve/%s", id); }
// Attempt.
inline std::string AttemptKey(absl::string_view id, int64_t generation) {
  return absl::StrFormat("attempt/%s/%010d", id, generation);
}
// Event.
inline std::string EventKey(absl::string_view id, int64_t sequence) {
  return absl::StrFormat("event/%s/%012d", id, sequence);
}
// Checkpoint.
inline std::string CheckpointKey(absl::string_view id, int64_t step, int64_t generation) {
  return absl::StrFormat("checkpoint/%s/%012d-%010d", id, step, generation);
}
// ProbeReport.
inline std::string ProbeKey(absl::string_view id, int64_t step) {
  return absl::StrFormat("probe/%s/%012d", id, step);
}
// Bytes a rank put.
inline std::string RendezvousKey(absl::string_view id, int64_t generation, absl::string_view key) {
  return absl::StrFormat("rendezvous/%s/%010d/%s", id, generation, key);
}
// StoredNode.
inline std::string NodeKey(absl::string_view node) { return absl::StrFormat("node/%s", node); }
// StoredUsage.
inline std::string UsageKey(absl::string_view queue) { return absl::StrFormat("usage/%s", queue); }
// StoredToken.
inline std::string TokenKey(absl::string_view id) { return absl::StrFormat("token/%s", id); }
// StoredRequest.
inline std::string RequestKey(absl::string_view id) { return absl::StrFormat("request/%s", id); }

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_CORE_KEYS_H_
