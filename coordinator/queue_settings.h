// Queues and priority classes from the coordinator's settings file.
#ifndef IJEPA_COORDINATOR_QUEUE_SETTINGS_H_
#define IJEPA_COORDINATOR_QUEUE_SETTINGS_H_

#include <vector>

#include "absl/status/status.h"
#include "coordinator/core/queues.h"
#include "proto/spec/settings_reader.h"

namespace ijepa::coordinator {

// The tables `queues` and `priority_classes` and their keys.
std::vector<spec::SettingsTable> QueueTables();

// Takes the tables over the defaults. InvalidArgument names the setting, its value and the rule.
absl::Status TakeQueues(const spec::SettingsWithTables& settings, SchedulingRules& rules);

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_QUEUE_SETTINGS_H_
