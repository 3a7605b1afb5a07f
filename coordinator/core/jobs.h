// Commands of people.
#ifndef IJEPA_COORDINATOR_CORE_JOBS_H_
#define IJEPA_COORDINATOR_CORE_JOBS_H_

#include <vector>

#include "coordinator/core/command.h"
#include "coordinator/core/scheduler.h"
#include "coordinator/core/turn.h"

namespace ijepa::coordinator {

// Replies with the job; FailedPrecondition if no set of registered nodes could hold it,
// ResourceExhausted past max_active_jobs, InvalidArgument if the request id came with another spec,
// AlreadyExists if the id is taken; FailedPrecondition if a job of depends_on or the checkpoint of
// a fork is not there.
void HandleCreateJob(Turn& turn, const CreateJob& command);

// All jobs of the array, or none: the reply is the first, or the first error. Errors as of
// HandleCreateJob.
void HandleCreateArray(Turn& turn, const CreateArray& command);

// As the scheduler sees them: nodes that are not lost, a job whether queued or not.
std::vector<NodeView> ViewNodes(const State& state);
QueuedJob ViewJob(const Job& job);

// Starts what fits, and updates why the others wait.
void PlaceQueuedJobs(Turn& turn);

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_CORE_JOBS_H_
