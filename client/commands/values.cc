// See values.h.
#include "client/commands/values.h"

#include <cstdint>
#include <random>
#include <set>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "common/status_macros.h"

namespace ijepa::client {
namespace {

constexpr int kMostRanks = 4096;

}  // namespace

absl::StatusOr<absl::Duration> ParseDuration(const std::string& text) {
  double seconds = 0;
  absl::Duration duration;
  if (absl::SimpleAtod(text, &seconds)) {
    duration = absl::Seconds(seconds);
  } else if (!absl::ParseDuration(text, &duration)) {
    return absl::InvalidArgumentError(
        absl::StrCat(text, " is no duration; write 90s, 10m or 1h30m"));
  }
  if (duration <= absl::ZeroDuration()) {
    return absl::InvalidArgumentError(absl::StrCat(text, " is not above zero"));
  }
  return duration;
}

absl::StatusOr<std::vector<int>> ParseRanks(const std::string& text) {
  if (text == "all") return std::vector<int>();
  std::set<int> ranks;
  for (absl::string_view part : absl::StrSplit(text, ',')) {
    std::pair<absl::string_view, absl::string_view> ends =
        absl::StrSplit(part, absl::MaxSplits('-', 1));
    if (ends.second.empty()) ends.second = ends.first;
    int first = 0;
    int last = 0;
    if (!absl::SimpleAtoi(ends.first, &first) || !absl::SimpleAtoi(ends.second, &last) ||
        first < 0 || last < first || last >= kMostRanks) {
      return absl::InvalidArgumentError(
          absl::StrCat("'", part, "' is no rank or range of ranks; write 0,3-5 or all"));
    }
    for (int rank = first; rank <= last; ++rank) ranks.insert(rank);
  }
  return std::vector<int>(ranks.begin(), ranks.end());
}

void AddDuration(CLI::App& command, const std::string& name, absl::Duration* value,
                 const std::string& help) {
  command
      .add_option_function<std::string>(
          name,
          [name, value](const std::string& text) {
            absl::StatusOr<absl::Duration> parsed = ParseDuration(text);
            if (!parsed.ok()) {
              throw CLI::ValidationError(name, std::string(parsed.status().message()));
            }
            *value = *parsed;
          },
          help)
      ->type_name("DURATION");
}

std::string NewRequestId() {
  std::random_device device;
  uint32_t words[4] = {device(), device(), device(), device()};
  words[1] = (words[1] & 0xFFFF0FFF) | 0x00004000;
  words[2] = (words[2] & 0x3FFFFFFF) | 0x80000000;
  return absl::StrFormat("%08x-%04x-%04x-%04x-%04x%08x", words[0], words[1] >> 16,
                         words[1] & 0xFFFF, words[2] >> 16, words[2] & 0xFFFF, words[3]);
}

}  // namespace ijepa::client
