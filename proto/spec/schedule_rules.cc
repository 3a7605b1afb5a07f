// See schedule_rules.h.
#include "proto/spec/schedule_rules.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "proto/spec/yaml_tree.h"

namespace ijepa::spec {
namespace {

constexpr size_t kMaxNameBytes = 63;
constexpr absl::Duration kShortest = absl::Seconds(1);
constexpr absl::Duration kLongest = absl::Hours(8760);  // A year.

}  // namespace

absl::StatusOr<absl::Duration> ParseTimeLimit(absl::string_view text) {
  absl::Duration limit;
  if (!absl::ParseDuration(std::string(text), &limit) || limit < kShortest || limit > kLongest) {
    return absl::InvalidArgumentError(
        absl::StrCat("is \"", Shown(text), "\"; must be a time in [1s, 8760h] such as 90s, 45m, ",
                     "12h or 1h30m"));
  }
  return limit;
}

bool IsPlainName(absl::string_view name) {
  if (name.empty() || name.size() > kMaxNameBytes) return false;
  if (name.front() == '-' || name.back() == '-') return false;
  return std::all_of(name.begin(), name.end(), [](char c) {
    return absl::ascii_islower(c) || absl::ascii_isdigit(c) || c == '-';
  });
}

std::vector<std::pair<std::string, std::string>> ScheduleViolations(const v1::JobSpec& spec) {
  std::vector<std::pair<std::string, std::string>> violations;
  const auto check_name = [&](const char* path, const std::string& name) {
    if (IsPlainName(name)) return;
    violations.emplace_back(
        path, absl::StrCat("is \"", Shown(name),
                           "\"; must be 1 to 63 of a-z, 0-9 and -, without - at an end"));
  };
  if (spec.has_queue()) check_name("queue", spec.queue());
  if (spec.has_priority_class()) check_name("priority_class", spec.priority_class());
  if (spec.has_time_limit()) {
    const absl::StatusOr<absl::Duration> limit = ParseTimeLimit(spec.time_limit());
    if (!limit.ok()) violations.emplace_back("time_limit", std::string(limit.status().message()));
  }
  const v1::TopologySpec& topology = spec.topology();
  if (topology.preferred() > topology.required() &&
      topology.required() != v1::TOPOLOGY_LEVEL_UNSPECIFIED &&
      v1::TopologyLevel_IsValid(topology.preferred())) {
    violations.emplace_back("topology.preferred",
                            "is wider than topology.required; prefer a level within the required "
                            "one, or remove it");
  }
  return violations;
}

}  // namespace ijepa::spec
