// Numbers, sizes and times as people read them. Pure.
#ifndef IJEPA_CLIENT_RENDER_FORMAT_H_
#define IJEPA_CLIENT_RENDER_FORMAT_H_

#include <cstdint>
#include <string>

#include "absl/time/time.h"
#include "google/protobuf/timestamp.pb.h"

namespace ijepa::client {

// 1234567 -> "1,234,567".
std::string FormatCount(int64_t value);

// Three or so significant digits, scientific only where it is shorter: 0.1234, 412, 1.5e-05.
std::string FormatNumber(double value);

// A share in [0, 1]: 0.3456 -> "34.6 %".
std::string FormatPercent(double share);

// 1.5 * 2^30 -> "1.5 GiB".
std::string FormatBytes(int64_t bytes);

// Two units at most: "12s", "3m 12s", "5h 03m", "2d 4h". Negative spans read as "0s".
std::string DurationText(absl::Duration duration);

// Whether the field was set.
bool IsSet(const google::protobuf::Timestamp& time);
absl::Time ToTime(const google::protobuf::Timestamp& time);
google::protobuf::Timestamp ToTimestamp(absl::Time time);

// "3m 12s ago", or "-" when the field is unset.
std::string FormatAge(absl::Time now, const google::protobuf::Timestamp& time);

// "14:03:05" in the zone, or "-" when the field is unset.
std::string FormatClock(const google::protobuf::Timestamp& time, absl::TimeZone zone);

}  // namespace ijepa::client

#endif  // IJEPA_CLIENT_RENDER_FORMAT_H_
