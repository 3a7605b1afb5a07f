// See job_service.h.
#include "coordinator/services/job_service.h"

#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "coordinator/services/digest.h"
#include "coordinator/services/grpc_status.h"
#include "coordinator/services/state_calls.h"
#include "coordinator/state_thread.h"
#include "proto/spec/spec_defaults.h"
#include "proto/spec/spec_validate.h"

namespace ijepa::coordinator {
namespace {

// control-plane.md section 6, rule 18.
constexpr size_t kMaxSpecBytes = 256 * 1024;
constexpr size_t kMaxRequestId = 128;
constexpr int kUidLength = 26;

absl::Status CheckRequest(const v1::CreateJobRequest& request) {
  if (request.spec().ByteSizeLong() > kMaxSpecBytes) {
    return absl::InvalidArgumentError(absl::StrCat("spec has ", request.spec().ByteSizeLong(),
                                                   " bytes; at most ", kMaxSpecBytes));
  }
  if (request.request_id().size() > kMaxRequestId) {
    return absl::InvalidArgumentError(
        absl::StrCat("request_id is longer than ", kMaxRequestId, " characters; use a UUID"));
  }
  return absl::OkStatus();
}

}  // namespace

grpc::ServerUnaryReactor* JobService::CreateJob(grpc::CallbackServerContext* context,
                                                const v1::CreateJobRequest* request,
                                                v1::Job* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  coordinator::CreateJob command;
  command.spec = request->spec();
  absl::Status status = CheckRequest(*request);
  if (status.ok()) {
    spec::ResolveDefaults(&command.spec);
    status = spec::Validate(command.spec);
  }
  if (!status.ok()) {
    reactor->Finish(ToGrpc(status));
    return reactor;
  }
  command.uid = random_(kUidLength);
  command.request_id = request->request_id();
  command.digest = DigestOf(*request);
  command.validate_only = request->validate_only();
  command.queue_anyway = request->queue_anyway();
  state_.Call(std::move(command), FinishWith(reactor, response));
  return reactor;
}

grpc::ServerUnaryReactor* JobService::GetJob(grpc::CallbackServerContext* context,
                                             const v1::GetJobRequest* request, v1::Job* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  reader_.Find(request->name(), FinishWith(reactor, response));
  return reactor;
}

grpc::ServerUnaryReactor* JobService::ListJobs(grpc::CallbackServerContext* context,
                                               const v1::ListJobsRequest* request,
                                               v1::ListJobsResponse* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  reader_.List(*request, FinishWith(reactor, response));
  return reactor;
}

grpc::ServerUnaryReactor* JobService::CancelJob(grpc::CallbackServerContext* context,
                                                const v1::CancelJobRequest* request,
                                                v1::Job* response) {
  return ChangeJob(state_, *context, coordinator::CancelJob{.name = request->name()}, response);
}

grpc::ServerWriteReactor<v1::Job>* JobService::WatchJob(grpc::CallbackServerContext*,
                                                        const v1::WatchJobRequest* request) {
  return watchers_.NewWatcher(request->name());
}

}  // namespace ijepa::coordinator
