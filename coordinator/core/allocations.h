// Slots from backends: asked for when a job of such a queue is next, filled by the workers that the
// backend starts in them, given back when the attempt is over.
#ifndef IJEPA_COORDINATOR_CORE_ALLOCATIONS_H_
#define IJEPA_COORDINATOR_CORE_ALLOCATIONS_H_

#include <optional>
#include <string>

#include "coordinator/core/command.h"
#include "coordinator/core/outside_jobs.h"
#include "coordinator/core/turn.h"

namespace ijepa::coordinator {

// Code of the reason of a job that is paused because somebody cancelled its allocation there.
inline constexpr char kCancelledOutside[] = "CANCELLED_OUTSIDE";

// Who places the jobs of its queue; kOwnBackend: our scheduler.
std::string BackendOf(const Job& job, const SchedulingRules& rules);

// A queued job as the asking sees it; nothing for one that our scheduler places.
std::optional<OutsideJob> ViewOutside(const Job& job, const CoreOptions& options);

// Why the job is never asked for; nothing if it may be.
std::optional<v1::Reason> NeverAsked(const OutsideJob& job, const SchedulingRules& rules);

// Asks for the slots of the jobs that are next, as far as the limits of their queues allow.
void AskBackends(Turn& turn);

void HandleAllocationWaits(Turn& turn, const AllocationWaits& command);
void HandleAllocationGranted(Turn& turn, const AllocationGranted& command);
// The attempt on it, if it has not ended, fails or counts as stopped, by the cause; the job is
// queued again, or PAUSED if somebody cancelled the allocation at the backend.
void HandleAllocationEnded(Turn& turn, const AllocationEnded& command);

// A worker that a backend started has said hello: its gang starts when all of them have.
void StartIfComplete(Turn& turn, const std::string& uid);

// Why a worker may not speak for this node; OK if it is one of our own, or was started for an
// attempt and says so in its name.
absl::Status CheckBound(const State& state, const v1::NodeInfo& info);

// Keeps in mind which nodes are of which job; `gone`: the node is no more.
void IndexBound(State& state, const v1::NodeInfo& info, bool gone = false);

// What a worker of an allocation that is over is to end with; nothing while it is not over.
std::optional<int> ExitCodeFor(const State& state, const v1::NodeInfo& info);

// The attempt is over: its workers end by themselves.
void ReleaseAllocation(Turn& turn, Job& job);

// The job no longer waits: nothing is asked for any more.
void DropAllocation(Turn& turn, Job& job);

// Workers that did not come in time.
void JudgeGrants(Turn& turn);

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_CORE_ALLOCATIONS_H_
