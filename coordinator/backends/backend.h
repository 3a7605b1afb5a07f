// Where the slots of a queue come from, when they are not our own workers': a cluster of SLURM or
// of Kubernetes, which places each attempt itself. We run no second scheduler over its nodes.
//
// The life of an allocation, the slots of one attempt:
//   the core, once a job of such a queue is next and its queue's limit allows it, raises the job's
//   generation, writes down the wish (JobStatus.allocation) and lets it out as an effect;
//   BackendDriver compares wishes with what Reconcile saw: what is missing is allocated, what
//   nobody wants is killed; so lost replies, restarts of ours and of the backend are one case;
//   the backend starts one worker per node in the allocation, which dials home as Worker describes;
//   once all have, the core starts the gang on them: from there on desired state, drains, logs and
//   checkpoints are as on own workers, and the backend only hears of the end;
//   the core releases the allocation, its workers end by themselves, and the driver kills what is
//   left after a while.
// Drain is therefore no call: ranks are told through their workers, and the backend's own warning
// (USR1, SIGTERM, a deleted pod) reaches the worker as a signal, which drains it.
#ifndef IJEPA_COORDINATOR_BACKENDS_BACKEND_H_
#define IJEPA_COORDINATOR_BACKENDS_BACKEND_H_

#include <cstdint>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "coordinator/core/allocation.h"
#include "ijepa/v1/job.pb.h"

namespace ijepa::coordinator {

// What names an attempt for a backend, and is found again by it: it goes into the name of the SLURM
// job or of the Kubernetes Job.
struct AllocationId {
  // Id of the job, as people know it: [a-z0-9-], at most 80 characters.
  std::string job;
  std::string uid;
  int64_t generation = 0;

  std::string Name() const { return AllocationName(job, generation); }

  friend bool operator<(const AllocationId& a, const AllocationId& b) {
    return std::tie(a.uid, a.generation) < std::tie(b.uid, b.generation);
  }
  friend bool operator==(const AllocationId&, const AllocationId&) = default;
};

// Slots that an attempt needs.
struct AllocationRequest {
  AllocationId id;
  int ranks = 1;
  // Resolved; shared with the state, never changed.
  std::shared_ptr<const v1::JobSpec> spec;
  // Shows that a worker was started for this attempt. Secret: not for a command line that others
  // can read.
  std::string token;
};

// How a worker in an allocation must be started, so that the coordinator takes it as a node:
//   ijepa-worker --coordinator ADDRESS --node NODE --slots N --state-dir DIR
//                --allocation UID:GENERATION:HOST     (and IJEPA_ALLOCATION_TOKEN in its
//                environment)
// NODE ends in HOST.NAME, the machine's and the allocation's name, and is unique; slots over all
// nodes add up to `ranks`; DIR is a folder of its own. It ends by itself, with 0 unless the attempt
// failed, once the coordinator says that the allocation is over; SIGTERM and SIGUSR1 make it drain.

enum class ObservedPhase { kPending, kRunning, kEnded };

// What the backend knows of one allocation.
struct ObservedAllocation {
  // AllocationId::Name(). Allocations of others, of another coordinator too, are not listed.
  std::string name;
  // The backend's own name: number of the SLURM job, name of the Kubernetes Job.
  std::string handle;
  ObservedPhase phase = ObservedPhase::kPending;
  // In the backend's words: PENDING and Resources. `advice`: what to do about it, in ours; empty
  // when it is only to be waited for.
  std::string state;
  std::string reason;
  std::string advice;
  // Machines that it has; empty while it is pending.
  std::vector<std::string> hosts;
  // Of kEnded. Not before its processes are gone as far as the backend can tell.
  AllocationEnd end = AllocationEnd::kCompleted;
  // Of kEnded: host that failed, where one is known.
  std::string host;
  // It has run, and the backend starts it over by itself: its attempt is over all the same, and
  // what comes of it is ended.
  bool started_over = false;
};

struct BackendNode {
  std::string name;
  // In the backend's words.
  std::string state;
  std::string reason;
  // It may be given work now.
  bool usable = false;
};

struct BackendCapabilities {
  // Warns the workers before it takes slots back for others or for a time limit.
  bool warns = false;
  // Wait has news of its own; without it every change is seen by the next poll at the earliest.
  bool watches = false;
};

// One cluster. name, capabilities, Validate, Wake and Interrupt are thread-safe and do not wait;
// everything else is called by one thread, the driver's, and waits for the cluster, never longer
// than `within`. Errors, for the driver:
//   Unavailable, DeadlineExceeded: the cluster was not reached or its answer lost; said to the job,
//     and tried again after the next Reconcile that succeeds.
//   everything else: the cluster refuses; its own words, then our advice, reach `explain`, and the
//     job asks again after a while (10 s, doubled up to 10 min).
class Backend {
 public:
  virtual ~Backend() = default;

  // As in the settings: slurm, kubernetes.
  virtual const std::string& name() const = 0;
  virtual BackendCapabilities capabilities() const = 0;

  // What no allocation could ever give, at submit. InvalidArgument names field, value and rule.
  virtual absl::Status Validate(const v1::JobSpec& spec) const = 0;

  // Asks for the slots, and for a worker on each node of them. Gives the handle. The driver asks
  // only for what the last Reconcile did not list if an earlier answer may have been lost.
  virtual absl::StatusOr<std::string> Allocate(const AllocationRequest& request,
                                               absl::Duration within) = 0;

  // Ends it with all processes. OK if it is gone already.
  virtual absl::Status Kill(const ObservedAllocation& allocation, absl::Duration within) = 0;

  // Everything of this coordinator, in one call to the cluster however many there are; ended ones
  // too, as long as the cluster knows them.
  virtual absl::StatusOr<std::vector<ObservedAllocation>> Reconcile(absl::Duration within) = 0;

  // Returns when something may have changed at the cluster, when `Wake` is called, or after
  // `within`. Only where capabilities().watches.
  virtual void Wait(absl::Duration /*within*/) {}
  virtual void Wake() {}
  // The coordinator stops: calls under way, and those to come, end soon with Cancelled.
  virtual void Interrupt() {}

  virtual absl::StatusOr<std::vector<BackendNode>> Nodes(absl::Duration within) = 0;
};

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_BACKENDS_BACKEND_H_
