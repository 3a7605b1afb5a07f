// See queues.h.
#include "coordinator/core/queues.h"

#include <algorithm>

namespace ijepa::coordinator {

const QueueRules& RulesOf(const SchedulingRules& rules, const std::string& queue) {
  static const QueueRules* const unknown = new QueueRules();
  const auto found = rules.queues.find(queue);
  return found == rules.queues.end() ? *unknown : found->second;
}

int64_t MostOf(const QueueRules& queue) {
  int64_t most = queue.limit.value_or(INT64_MAX);
  if (queue.nominal.has_value() && queue.borrowing_limit.has_value()) {
    most = std::min(most, *queue.nominal + *queue.borrowing_limit);
  }
  return most;
}

int ClassValue(const SchedulingRules& rules, const std::string& priority_class) {
  const auto found = rules.priority_classes.find(priority_class);
  if (found != rules.priority_classes.end()) return found->second;
  const auto normal = rules.priority_classes.find(kNormalClass);
  return normal == rules.priority_classes.end() ? 0 : normal->second;
}

}  // namespace ijepa::coordinator
