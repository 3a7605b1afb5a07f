// What the core may be told from outside, and how it is told the time.
#ifndef IJEPA_COORDINATOR_CORE_OPTIONS_H_
#define IJEPA_COORDINATOR_CORE_OPTIONS_H_

#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "coordinator/core/progress_watch.h"
#include "coordinator/core/queues.h"
#include "coordinator/core/slow_ranks.h"
#include "ijepa/v1/job.pb.h"

namespace ijepa::coordinator {

// One instant on both clocks: `wall` for what people read and what is stored, `monotonic` for
// leases and deadlines.
struct Now {
  absl::Time wall;
  absl::Duration monotonic;
};

// When a node is given no ranks for a while (quarantine.h).
struct QuarantineLimits {
  // Failed attempts, of more than one job, within `window`. 0: never. Lower: jobs that share a
  // fault of their own cost a node.
  int faults = 3;
  absl::Duration window = absl::Hours(24);
  absl::Duration length = absl::Hours(1);
};

struct CoreOptions {
  // Workers report at least this often.
  absl::Duration heartbeat_interval = absl::Seconds(5);
  // Silence after which a node is shown as UNREACHABLE; nothing is freed. Lower: more false alarms.
  absl::Duration unreachable_after = absl::Seconds(20);
  // Silence after which a node is LOST and its slots are given elsewhere. Lower: a long pause of a
  // worker costs its jobs an attempt.
  absl::Duration lost_after = absl::Seconds(60);
  // Ranks stop when they heard of no coordinator for this long.
  absl::Duration reattach_window = absl::Minutes(10);
  // From the start of an attempt until every rank has been reported.
  absl::Duration start_deadline = absl::Seconds(120);
  // From a cancel until ranks that still save are killed.
  absl::Duration drain_deadline = absl::Seconds(120);
  // From dropping a gang until its ranks are given up though their node still has them. Their slots
  // stay taken; fencing keeps them harmless.
  absl::Duration clear_deadline = absl::Minutes(5);
  // From naming a hang until its ranks are killed, though not every stack is written.
  absl::Duration stacks_deadline = absl::Seconds(5);
  SlowLimits slow;
  QuarantineLimits quarantine;
  SchedulingRules scheduling;
  // How long a rank may show no progress, while its node is there, before the attempt hangs.
  WatchLimits watch;
  // A gap between ticks above this means that the coordinator itself stood still.
  absl::Duration stall_limit = absl::Seconds(1);
  // A lost node without jobs is forgotten after this.
  absl::Duration forget_node_after = absl::Hours(24);
  absl::Duration request_id_lifetime = absl::Hours(24);
  // From the end of a job until it is sealed into history.
  absl::Duration seal_after = absl::Minutes(1);
  // How long history keeps ended jobs, and the audit log its lines. Their checkpoints stay.
  absl::Duration keep_history = absl::Hours(365 * 24);
  // Jobs that are not terminal; more are refused.
  int max_active_jobs = 100000;
  // Allocations that one backend is asked for at a time; further jobs wait here.
  int max_allocations = 1000;
  // What the backend of a job's queue could never give, found without asking it; may be empty.
  // InvalidArgument names field, value and rule.
  std::function<absl::Status(const v1::JobSpec&)> check_outside;
  // Takes jobs whose spec makes ranks fail on purpose (faults.inject).
  bool allow_fault_injection = false;
  // Folder on shared storage; a job's checkpoints go to <checkpoint_root>/<job id>.
  std::string checkpoint_root;
};

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_CORE_OPTIONS_H_
