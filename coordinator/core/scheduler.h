// Which queued jobs start now, where, which gangs stop for them, and why the others wait. Pure: a
// plan from a view.
//
// Order: class, jobs that had slots and failed, queues within their quota, the fair share of the
// queue, priority, submission. A gang starts whole or not at all. A job that fits nowhere now gets
// a reservation: jobs behind it start only if they do not delay it, because they end before its
// slots are free (EASY backfill, by time limits), or leave it what it needs; or max_bypass times,
// where its start cannot be foretold. One that could never fit on the registered nodes, is over its
// queue's quota, or waits for its next attempt, holds back nobody.
#ifndef IJEPA_COORDINATOR_CORE_SCHEDULER_H_
#define IJEPA_COORDINATOR_CORE_SCHEDULER_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "coordinator/core/cluster_index.h"
#include "coordinator/core/queues.h"
#include "coordinator/core/running_gangs.h"
#include "coordinator/core/waiting_jobs.h"
#include "ijepa/v1/job.pb.h"

namespace ijepa::coordinator {

// Codes of reasons of jobs that wait.
inline constexpr char kWaitingForSlots[] = "WAITING_FOR_SLOTS";
inline constexpr char kQuotaExceeded[] = "QUOTA_EXCEEDED";
inline constexpr char kTooLarge[] = "TOO_LARGE";
inline constexpr char kNoNodes[] = "NO_NODES";
inline constexpr char kPreempting[] = "PREEMPTING";
// No registered node has the bf16 arithmetic that the job asks for.
inline constexpr char kNoBf16[] = "NO_BF16";

struct Start {
  std::string id;
  // nodes[r] runs rank r; the ranks of a node are consecutive.
  std::vector<std::string> nodes;
};

// A gang that is to save and stop.
struct Preemption {
  std::string id;
  // The job that gets its slots.
  std::string by;
};

// Why the jobs of a group wait. Groups in like need share the reason.
struct Verdict {
  // Of the view.
  JobGroup* group = nullptr;
  std::shared_ptr<const v1::Reason> reason;
};

struct Plan {
  // In the order in which they were decided.
  std::vector<Start> starts;
  std::vector<Preemption> preemptions;
  // Of every group of the queue with a job that does not start.
  std::vector<Verdict> verdicts;
  // Jobs that others were started ahead of, once for each.
  std::vector<std::string> bypassed;
  // Slots that are free after it, and whether a job waits that they would hold.
  int64_t free = 0;
  bool held_back = false;
};

// Everything is borrowed for the call.
struct ScheduleView {
  absl::Duration now;
  // For the times in reasons.
  absl::Time wall;
  const SchedulingRules& rules;
  const WaitingJobs& waiting;
  // What starts is taken from it.
  ClusterIndex& cluster;
  // The pass settles its places.
  RunningGangs& running;
  // Slot-seconds that queues used, decayed to now; absent: none.
  const std::map<std::string, double>& usage;
  // How often others bypassed a job so far.
  const std::function<int(const std::string&)>& bypassed;
  // How long a gang may take to stop.
  absl::Duration stop_time = absl::Minutes(2);
  // One more job, that is not queued, and the slots it holds, which count as free; may be null.
  const QueuedJob* also = nullptr;
  int also_slots = 0;
};

Plan Schedule(const ScheduleView& view);

// Why the job can never start on these nodes, even if all their slots were free; nothing if it can.
std::optional<v1::Reason> NeverFits(const QueuedJob& job, const ClusterIndex& cluster,
                                    const SchedulingRules& rules);

// Sizes a spec allows: divisors of shards within ranks, largest first; ranks.max alone if there is
// none.
std::vector<int> GangSizes(const v1::JobSpec& spec);

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_CORE_SCHEDULER_H_
