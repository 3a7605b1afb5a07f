// Numbers to text and back; see pixel_scale.h.
#include "worker/jepa/exchange/pixel_scale.h"

#include <cmath>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "common/status_macros.h"

namespace jepa {
namespace {

std::string Joined(const std::vector<double>& numbers) {
  return absl::StrJoin(numbers, ",", [](std::string* out, double number) {
    absl::StrAppendFormat(out, "%.17g", number);
  });
}

absl::StatusOr<std::vector<double>> Parsed(absl::string_view key, const std::string& text,
                                           int channels) {
  std::vector<double> numbers;
  for (const absl::string_view part : absl::StrSplit(text, ',')) {
    double number = 0;
    if (!absl::SimpleAtod(part, &number) || !std::isfinite(number)) {
      return absl::DataLossError(
          absl::StrCat(key, " is \"", text.substr(0, 200), "\"; must be numbers"));
    }
    numbers.push_back(number);
  }
  if (static_cast<int>(numbers.size()) == channels) return numbers;
  return absl::DataLossError(absl::StrCat(
      key, " has ", numbers.size(), " numbers; must have one for each of ", channels, " channels"));
}

}  // namespace

void SavePixelScale(const PixelScale& scale, std::map<std::string, std::string>& values) {
  values[kBitDepthKey] = absl::StrCat(scale.bit_depth);
  values[kMeanKey] = Joined(scale.mean);
  values[kStdKey] = Joined(scale.std);
}

PixelScale AssumedPixelScale(int channels) {
  PixelScale scale;
  if (channels == static_cast<int>(scale.mean.size())) return scale;
  scale.mean.assign(static_cast<size_t>(channels), 0);
  scale.std.assign(static_cast<size_t>(channels), 1);
  return scale;
}

absl::StatusOr<PixelScale> ReadPixelScale(const std::map<std::string, std::string>& values,
                                          int channels) {
  PixelScale scale = AssumedPixelScale(channels);
  const auto depth = values.find(kBitDepthKey);
  const auto mean = values.find(kMeanKey);
  const auto std = values.find(kStdKey);
  if (depth == values.end() || mean == values.end() || std == values.end()) {
    return scale;
  }
  if (!absl::SimpleAtoi(depth->second, &scale.bit_depth) ||
      (scale.bit_depth != 8 && scale.bit_depth != 16)) {
    return absl::DataLossError(
        absl::StrCat(kBitDepthKey, " is \"", depth->second.substr(0, 200), "\"; must be 8 or 16"));
  }
  IJEPA_ASSIGN_OR_RETURN(scale.mean, Parsed(kMeanKey, mean->second, channels));
  IJEPA_ASSIGN_OR_RETURN(scale.std, Parsed(kStdKey, std->second, channels));
  for (const double deviation : scale.std) {
    if (deviation > 0) continue;
    return absl::DataLossError(absl::StrCat(kStdKey, " has ", deviation, "; must be above 0"));
  }
  return scale;
}

}  // namespace jepa
