// Commands of people.
#ifndef IJEPA_COORDINATOR_CORE_JOBS_H_
#define IJEPA_COORDINATOR_CORE_JOBS_H_

#include "coordinator/core/command.h"
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

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_CORE_JOBS_H_
