// Jobs that wait for others (spec.depends_on).
#ifndef IJEPA_COORDINATOR_CORE_DEPENDENCIES_H_
#define IJEPA_COORDINATOR_CORE_DEPENDENCIES_H_

#include <set>
#include <string>

#include "absl/status/statusor.h"
#include "coordinator/core/turn.h"

namespace ijepa::coordinator {

// Ids of the jobs that the spec, of a job of `project`, waits for and that have not ended. Returns
// FailedPrecondition if one is not in the project, or has failed already and that matters.
absl::StatusOr<std::set<std::string>> OpenDependencies(State& state, const v1::JobSpec& spec,
                                                       const std::string& project);

// Notes what the job waits for.
void WaitFor(State& state, Job& job, std::set<std::string> ids);

// QUEUED, or BLOCKED while there is something to wait for; with a reason that says so.
void QueueOrBlock(Turn& turn, Job& job, v1::Reason reason);

// Jobs that waited for those that ended in this turn: queued, or cancelled, which may end others.
void SettleDependents(Turn& turn);

// After a start: jobs that are BLOCKED and wait for nothing that is left.
void QueueUnblocked(Turn& turn);

// After a start: what each job waits for follows from what has not ended.
void RestoreDependencies(State& state);

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_CORE_DEPENDENCIES_H_
