// The reason travels as a payload of the status, so that its code and message stay those of users.
#include "worker/jepa/data/bad_image.h"

#include "absl/strings/cord.h"

namespace jepa {
namespace {

constexpr char kPayload[] = "jepa.bad_image";
constexpr absl::string_view kNames[kBadReasons] = {"empty",     "truncated",  "corrupt",
                                                   "too_large", "unreadable", "vanished"};

absl::Status WithReason(absl::string_view message, BadReason reason) {
  absl::Status status = absl::DataLossError(message);
  status.SetPayload(kPayload, absl::Cord(BadReasonName(reason)));
  return status;
}

}  // namespace

absl::string_view BadReasonName(BadReason reason) { return kNames[static_cast<size_t>(reason)]; }

BadReason BadReasonOf(const absl::Status& status, bool reading) {
  if (absl::IsNotFound(status)) return BadReason::kVanished;
  if (absl::IsResourceExhausted(status)) return BadReason::kTooLarge;
  if (reading) return BadReason::kUnreadable;
  for (const BadReason reason : {BadReason::kEmpty, BadReason::kTruncated}) {
    if (status.GetPayload(kPayload) == absl::Cord(BadReasonName(reason))) return reason;
  }
  return BadReason::kCorrupt;
}

absl::Status TruncatedError(absl::string_view message) {
  return WithReason(message, BadReason::kTruncated);
}

absl::Status EmptyError(absl::string_view message) {
  return WithReason(message, BadReason::kEmpty);
}

}  // namespace jepa
