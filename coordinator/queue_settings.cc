// See queue_settings.h.
#include "coordinator/queue_settings.h"

#include <map>
#include <optional>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "proto/spec/schedule_rules.h"

namespace ijepa::coordinator {
namespace {

constexpr char kQueues[] = "queues";
constexpr char kClasses[] = "priority_classes";
constexpr int64_t kMostSlots = 10'000'000;
constexpr int kMostValue = 1'000'000;

using Values = std::map<std::string, std::string>;

absl::Status Bad(const std::string& path, const std::string& value, const std::string& rule) {
  return absl::InvalidArgumentError(absl::StrCat(path, " is ", value, "; must be ", rule));
}

absl::Status TakeSlots(const std::string& queue, const Values& values, const char* key,
                       std::optional<int64_t>& field) {
  const auto found = values.find(key);
  if (found == values.end()) return absl::OkStatus();
  int64_t count = 0;
  if (!absl::SimpleAtoi(found->second, &count) || count < 0 || count > kMostSlots) {
    return Bad(absl::StrCat(kQueues, ".", queue, ".", key), found->second,
               absl::StrCat("a whole number of slots in [0, ", kMostSlots, "]"));
  }
  field = count;
  return absl::OkStatus();
}

absl::Status TakeQueue(const std::string& name, const Values& values, const SchedulingRules& rules,
                       QueueRules& queue) {
  const std::string path = absl::StrCat(kQueues, ".", name);
  if (!spec::IsPlainName(name)) {
    return Bad(kQueues, name, "named by 1 to 63 of a-z, 0-9 and -, without - at an end");
  }
  IJEPA_RETURN_IF_ERROR(TakeSlots(name, values, "nominal", queue.nominal));
  IJEPA_RETURN_IF_ERROR(TakeSlots(name, values, "borrowing_limit", queue.borrowing_limit));
  IJEPA_RETURN_IF_ERROR(TakeSlots(name, values, "limit", queue.limit));
  if (queue.borrowing_limit.has_value() && !queue.nominal.has_value()) {
    return Bad(absl::StrCat(path, ".borrowing_limit"), absl::StrCat(*queue.borrowing_limit),
               "set only where nominal is");
  }
  if (queue.limit.has_value() && queue.nominal.value_or(0) > *queue.limit) {
    return Bad(absl::StrCat(path, ".nominal"), absl::StrCat(*queue.nominal),
               absl::StrCat("at most limit, which is ", *queue.limit));
  }
  if (const auto found = values.find("weight"); found != values.end()) {
    if (!absl::SimpleAtod(found->second, &queue.weight) || !(queue.weight > 0) ||
        queue.weight > 1e6) {
      return Bad(absl::StrCat(path, ".weight"), found->second, "a number in (0, 1e6]");
    }
  }
  if (const auto found = values.find("time_limit"); found != values.end()) {
    const auto limit = spec::ParseTimeLimit(found->second);
    if (!limit.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ".time_limit ", limit.status().message()));
    }
    queue.time_limit = found->second;
  }
  if (const auto found = values.find("priority_class"); found != values.end()) {
    if (rules.priority_classes.count(found->second) == 0) {
      return Bad(absl::StrCat(path, ".priority_class"), found->second,
                 absl::StrCat("one of ", kClasses));
    }
    queue.priority_class = found->second;
  }
  if (const auto found = values.find("backend"); found != values.end()) {
    queue.backend = found->second;
    if (queue.backend != kOwnBackend && queue.nominal.has_value()) {
      return Bad(absl::StrCat(path, ".nominal"), absl::StrCat(*queue.nominal),
                 absl::StrCat("absent, because backend is ", queue.backend,
                              ", which shares its slots itself; limit may be set"));
    }
  }
  return absl::OkStatus();
}

absl::Status TakeClass(const std::string& name, const Values& values, SchedulingRules& rules) {
  const auto found = values.find("value");
  int value = 0;
  const bool good = found != values.end() && absl::SimpleAtoi(found->second, &value) &&
                    value >= -kMostValue && value <= kMostValue;
  if (!good || !spec::IsPlainName(name)) {
    return Bad(absl::StrCat(kClasses, ".", name, ".value"),
               found == values.end() ? "missing" : found->second,
               "a whole number in [-1e6, 1e6], of a name of a-z, 0-9 and -");
  }
  rules.priority_classes[name] = value;
  return absl::OkStatus();
}

}  // namespace

std::vector<spec::SettingsTable> QueueTables() {
  return {{kQueues,
           {"nominal", "borrowing_limit", "limit", "weight", "time_limit", "priority_class",
            "backend"}},
          {kClasses, {"value"}}};
}

absl::Status TakeQueues(const spec::SettingsWithTables& settings, SchedulingRules& rules) {
  const auto classes = settings.tables.find(kClasses);
  if (classes != settings.tables.end()) {
    for (const auto& [name, values] : classes->second) {
      IJEPA_RETURN_IF_ERROR(TakeClass(name, values, rules));
    }
  }
  const auto queues = settings.tables.find(kQueues);
  if (queues == settings.tables.end()) return absl::OkStatus();
  for (const auto& [name, values] : queues->second) {
    IJEPA_RETURN_IF_ERROR(TakeQueue(name, values, rules, rules.queues[name]));
  }
  return absl::OkStatus();
}

}  // namespace ijepa::coordinator
