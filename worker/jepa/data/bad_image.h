// Why an image is bad: a closed list, for counts and metrics.
#ifndef IJEPA_WORKER_JEPA_DATA_BAD_IMAGE_H_
#define IJEPA_WORKER_JEPA_DATA_BAD_IMAGE_H_

#include <array>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace jepa {

enum class BadReason { kEmpty, kTruncated, kCorrupt, kTooLarge, kUnreadable, kVanished };
inline constexpr size_t kBadReasons = 6;
using BadCounts = std::array<int64_t, kBadReasons>;

// "empty", "truncated", ...; as in messages, labels of metrics and StepReport.bad_reasons.
absl::string_view BadReasonName(BadReason reason);

// The reason behind `status`, an error of ImageSource::ReadInto (reading true) or of ImageReader.
BadReason BadReasonOf(const absl::Status& status, bool reading);

// DataLoss that BadReasonOf tells as kTruncated, or as kEmpty.
absl::Status TruncatedError(absl::string_view message);
absl::Status EmptyError(absl::string_view message);

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_DATA_BAD_IMAGE_H_
