// What people ask of a job after it was submitted: hold, release, pause, resume, cancel.
#ifndef IJEPA_COORDINATOR_CORE_STEERING_H_
#define IJEPA_COORDINATOR_CORE_STEERING_H_

#include "coordinator/core/command.h"
#include "coordinator/core/turn.h"

namespace ijepa::coordinator {

// Replies with the job; NotFound, Aborted for another etag, FailedPrecondition if the job's state
// does not allow it. A job that is already where it is asked to be is answered as it is.
void HandleSteerJob(Turn& turn, const SteerJob& command);

// Replies with the job; NotFound, Aborted for another etag. A job that has ended, or is being
// cancelled, is answered as it is.
void HandleCancelJob(Turn& turn, const CancelJob& command);

// Cancels what has not ended of the array, all in one step; replies with an empty job, also if that
// is nothing.
void HandleCancelArray(Turn& turn, const CancelArray& command);

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_CORE_STEERING_H_
