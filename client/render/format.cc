// See format.h.
#include "client/render/format.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace ijepa::client {

std::string FormatCount(int64_t value) {
  std::string digits = absl::StrCat(value < 0 ? -value : value);
  std::string text = value < 0 ? "-" : "";
  for (size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0) text.push_back(',');
    text.push_back(digits[i]);
  }
  return text;
}

std::string FormatNumber(double value) {
  double magnitude = std::abs(value);
  if (magnitude >= 1000) return FormatCount(std::llround(value));
  if (magnitude >= 100) return absl::StrFormat("%.0f", value);
  if (magnitude >= 10) return absl::StrFormat("%.1f", value);
  return absl::StrFormat("%.4g", value);
}

std::string FormatPercent(double share) { return absl::StrFormat("%.1f %%", share * 100); }

std::string FormatBytes(int64_t bytes) {
  constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  while (value >= 1024 && unit + 1 < std::size(kUnits)) {
    value /= 1024;
    ++unit;
  }
  if (unit == 0) return absl::StrCat(bytes, " B");
  return absl::StrFormat("%.1f %s", value, kUnits[unit]);
}

std::string DurationText(absl::Duration duration) {
  int64_t seconds = std::max<int64_t>(0, absl::ToInt64Seconds(duration));
  int64_t minutes = seconds / 60;
  int64_t hours = minutes / 60;
  if (seconds < 60) return absl::StrCat(seconds, "s");
  if (minutes < 60) return absl::StrFormat("%dm %02ds", minutes, seconds % 60);
  if (hours < 24) return absl::StrFormat("%dh %02dm", hours, minutes % 60);
  return absl::StrFormat("%dd %dh", hours / 24, hours % 24);
}

bool IsSet(const google::protobuf::Timestamp& time) {
  return time.seconds() != 0 || time.nanos() != 0;
}

absl::Time ToTime(const google::protobuf::Timestamp& time) {
  return absl::FromUnixSeconds(time.seconds()) + absl::Nanoseconds(time.nanos());
}

google::protobuf::Timestamp ToTimestamp(absl::Time time) {
  google::protobuf::Timestamp stamp;
  int64_t nanoseconds = absl::ToUnixNanos(time);
  stamp.set_seconds(nanoseconds / 1'000'000'000);
  stamp.set_nanos(static_cast<int32_t>(nanoseconds % 1'000'000'000));
  return stamp;
}

std::string FormatAge(absl::Time now, const google::protobuf::Timestamp& time) {
  return IsSet(time) ? absl::StrCat(DurationText(now - ToTime(time)), " ago") : "-";
}

std::string FormatClock(const google::protobuf::Timestamp& time, absl::TimeZone zone) {
  return IsSet(time) ? absl::FormatTime("%H:%M:%S", ToTime(time), zone) : "-";
}

}  // namespace ijepa::client
