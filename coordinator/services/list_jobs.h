// Pages of jobs, by number: what a request asks for, and the page made of present and past.
#ifndef IJEPA_COORDINATOR_SERVICES_LIST_JOBS_H_
#define IJEPA_COORDINATOR_SERVICES_LIST_JOBS_H_

#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "coordinator/core/job_index.h"
#include "coordinator/core/state.h"
#include "coordinator/store/history.h"
#include "ijepa/v1/coordinator.pb.h"

namespace ijepa::coordinator {

struct ListQuery {
  JobQuery jobs;
  int size = 50;
  // Of the filter and order, as the page token carries it.
  std::string digest;
};

// Briefs by number; at most one more than the page shows.
using JobPage = std::map<int64_t, v1::Job>;

// Returns InvalidArgument for a page size out of range, an order or label that cannot be read, and
// a page token that is damaged or comes from a request with another filter or order.
absl::StatusOr<ListQuery> ReadListQuery(const v1::ListJobsRequest& request);

// What a WatchJobs call asks for. InvalidArgument as above.
absl::StatusOr<JobQuery> ReadWatchFilter(const v1::WatchJobsRequest& request);

JobPage LiveJobs(const ListQuery& query, const State& state);

// Whether a job that has ended may fit the query.
bool MayBePast(const ListQuery& query);
// Adds those of history that are not in the page yet. On the history thread.
absl::Status AddPastJobs(const ListQuery& query, History& history, JobPage& page);

v1::ListJobsResponse MakePage(const ListQuery& query, JobPage page);

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_SERVICES_LIST_JOBS_H_
