// See requests.h.
#include "coordinator/core/requests.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "coordinator/core/error_details.h"
#include "coordinator/core/keys.h"
#include "coordinator/core/sealing.h"

namespace ijepa::coordinator {

bool AnswerRepeated(Turn& turn, const RequestMark& request) {
  const auto found = turn.state.requests.find(request.id);
  if (request.id.empty() || found == turn.state.requests.end()) return false;
  const std::string& id = found->second.job_id();
  if (found->second.digest() != request.digest) {
    turn.Reply(request.token, WithReason(absl::InvalidArgumentError(absl::StrCat(
                                             "request_id ", request.id, " was used for job ", id,
                                             " with another request; use a new one")),
                                         "REQUEST_ID_REUSED", request.id));
  } else if (const Job* job = FindJob(turn.state, id)) {
    turn.Reply(request.token, job->proto);
  } else if (const v1::SealedJob* past = FindLent(turn.state, id)) {
    turn.Reply(request.token, past->job());
  } else {
    turn.Reply(request.token, absl::NotFoundError("the job of this request_id is gone"));
  }
  return true;
}

void RememberRequest(Turn& turn, const RequestMark& request, const std::string& job_id) {
  if (request.id.empty()) return;
  v1::StoredRequest& stored = turn.state.requests[request.id];
  stored.set_job_id(job_id);
  stored.set_digest(request.digest);
  *stored.mutable_time() = ToProto(turn.now.wall);
  turn.Put(RequestKey(request.id), stored.SerializeAsString());
}

absl::Status CheckEtag(const std::string& etag, const v1::Job& job) {
  if (etag.empty() || etag == job.etag()) return absl::OkStatus();
  return WithReason(
      absl::AbortedError(absl::StrCat("etag is ", etag, ", but ", job.name(), " is at ", job.etag(),
                                      "; look at the job again, then repeat")),
      "ETAG_MISMATCH", job.name());
}

}  // namespace ijepa::coordinator
