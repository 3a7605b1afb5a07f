// Rules by which queues share the cluster, from the coordinator's settings.
#ifndef IJEPA_COORDINATOR_CORE_QUEUES_H_
#define IJEPA_COORDINATOR_CORE_QUEUES_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "absl/time/time.h"

namespace ijepa::coordinator {

inline constexpr char kDefaultQueueName[] = "default";
inline constexpr char kNormalClass[] = "normal";
inline constexpr char kOwnBackend[] = "own";

// Counts are of slots. A queue without `nominal` has no claim of its own and borrows nothing: it
// uses what is free, up to `limit`.
struct QueueRules {
  // What it has a claim to: its jobs go before those of queues that are over theirs, and slots lent
  // beyond it are taken back.
  std::optional<int64_t> nominal;
  // Beyond nominal, while others do not use it; nothing: all that is free.
  std::optional<int64_t> borrowing_limit;
  // Never exceeded.
  std::optional<int64_t> limit;
  // Its share against that of other queues. Above 0.
  double weight = 1;
  // Of jobs that do not say, as in the spec; empty: none.
  std::string time_limit;
  std::string priority_class = kNormalClass;
  // Who places its jobs: our own scheduler on our own workers, or a backend, which is then asked
  // for the slots of each attempt (coordinator/backends/backend.h). `nominal` is for own workers.
  std::string backend = kOwnBackend;
};

struct SchedulingRules {
  // Always has kDefaultQueueName.
  std::map<std::string, QueueRules> queues = {{kDefaultQueueName, QueueRules()}};
  // Higher goes first, and takes slots from lower where preemption helps. Always has kNormalClass.
  std::map<std::string, int> priority_classes = {{"low", -100}, {kNormalClass, 0}, {"high", 100}};
  // Use of this long ago counts half.
  absl::Duration fair_share_half_life = absl::Hours(24);
  // Jobs that may start, on slots that a job waits for, before that one when its start cannot be
  // foretold. 0: none ever. Higher: less idle, longer waits of large jobs.
  int max_bypass = 16;
  // An attempt younger than this is not told to stop for others. Lower: more work is lost.
  absl::Duration min_run_time = absl::Minutes(10);
  // Gangs that one pass tells to stop for others. 0: no preemption.
  int max_preemptions = 64;
};

// The rules of a queue; those of the default queue without quota for one that is no longer in the
// settings.
const QueueRules& RulesOf(const SchedulingRules& rules, const std::string& queue);

// Slots that a queue never exceeds; INT64_MAX: no limit.
int64_t MostOf(const QueueRules& queue);

// The value of a class; that of kNormalClass for one that is no longer in the settings.
int ClassValue(const SchedulingRules& rules, const std::string& priority_class);

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_CORE_QUEUES_H_
