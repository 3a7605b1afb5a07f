// Calls that come twice, and calls that were made for a job as it no longer is.
#ifndef IJEPA_COORDINATOR_CORE_REQUESTS_H_
#define IJEPA_COORDINATOR_CORE_REQUESTS_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "coordinator/core/turn.h"

namespace ijepa::coordinator {

// Of a command. `digest` is of the request as sent, without its id.
struct RequestMark {
  uint64_t token = 0;
  std::string id;
  uint64_t digest = 0;
};

// Answers a repeated request with the job as it is, or InvalidArgument if the rest differs. False
// if it was not made before, or has no id.
bool AnswerRepeated(Turn& turn, const RequestMark& request);

// The request was carried out for this job. Nothing if it has no id.
void RememberRequest(Turn& turn, const RequestMark& request, const std::string& job_id);

// Aborted unless `etag` is empty or that of the job.
absl::Status CheckEtag(const std::string& etag, const v1::Job& job);

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_CORE_REQUESTS_H_
