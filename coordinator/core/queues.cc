// See queues.h.
#include "coordinator/core/queues.h"

namespace ijepa::coordinator {

const QueueRules& RulesOf(const SchedulingRules& rules, const std::string& queue) {
  static const QueueRules* const unknown = new QueueRules();
  const auto found = rules.queues.find(queue);
  return found == rules.queues.end() ? *unknown : found->second;
}

int ClassValue(const SchedulingRules& rules, const std::string& priority_class) {
  const auto found = rules.priority_classes.find(priority_class);
  if (found != rules.priority_classes.end()) return found->second;
  const auto normal = rules.priority_classes.find(kNormalClass);
  return normal == rules.priority_classes.end() ? 0 : normal->second;
}

}  // namespace ijepa::coordinator
