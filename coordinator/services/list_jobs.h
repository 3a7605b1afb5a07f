// Pages of jobs, newest first.
#ifndef IJEPA_COORDINATOR_SERVICES_LIST_JOBS_H_
#define IJEPA_COORDINATOR_SERVICES_LIST_JOBS_H_

#include "absl/status/statusor.h"
#include "coordinator/core/state.h"
#include "ijepa/v1/coordinator.pb.h"

namespace ijepa::coordinator {

// The page that `request` asks for. Returns InvalidArgument for a page size out of range, and for a
// page token that is damaged or comes from a request with other states.
absl::StatusOr<v1::ListJobsResponse> ListJobs(const State& state,
                                              const v1::ListJobsRequest& request);

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_SERVICES_LIST_JOBS_H_
