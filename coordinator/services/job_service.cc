// See job_service.h.
#include "coordinator/services/job_service.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "coordinator/services/grpc_status.h"
#include "coordinator/services/list_jobs.h"
#include "coordinator/services/state_calls.h"
#include "coordinator/state_thread.h"
#include "proto/spec/spec_defaults.h"
#include "proto/spec/spec_validate.h"

namespace ijepa::coordinator {
namespace {

// control-plane.md section 6, rule 18.
constexpr size_t kMaxSpecBytes = 256 * 1024;
constexpr size_t kMaxRequestId = 128;
// 32^5 names for each job name; a taken one is drawn again.
constexpr int kSuffixLength = 5;
constexpr int kUidLength = 26;
constexpr int kMaxDraws = 4;

// FNV-1a of the request without its id; the same bytes for the same request.
uint64_t DigestOf(const v1::CreateJobRequest& request) {
  v1::CreateJobRequest body = request;
  body.clear_request_id();
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);
    body.SerializeToCodedStream(&coded);
  }
  uint64_t hash = 0xcbf29ce484222325u;
  for (const char c : bytes) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  return hash;
}

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

// One CreateJob call; draws another id when one is taken.
struct Creation : std::enable_shared_from_this<Creation> {
  StateThread& state;
  const JobService::RandomText& random;
  CreateJob command;
  std::function<void(absl::StatusOr<v1::Job>)> reply;
  int draws = 0;

  Creation(StateThread& state, const JobService::RandomText& random)
      : state(state), random(random) {}

  void Run() {
    ++draws;
    command.id = absl::StrCat(command.spec.name(), "-", random(kSuffixLength));
    command.uid = random(kUidLength);
    state.Call(command, [self = shared_from_this()](absl::StatusOr<v1::Job> job) {
      if (absl::IsAlreadyExists(job.status()) && self->draws < kMaxDraws) return self->Run();
      self->reply(std::move(job));
    });
  }
};

}  // namespace

grpc::ServerUnaryReactor* JobService::CreateJob(grpc::CallbackServerContext* context,
                                                const v1::CreateJobRequest* request,
                                                v1::Job* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  auto creation = std::make_shared<Creation>(state_, random_);
  creation->command.spec = request->spec();
  absl::Status status = CheckRequest(*request);
  if (status.ok()) {
    spec::ResolveDefaults(&creation->command.spec);
    status = spec::Validate(creation->command.spec);
  }
  if (!status.ok()) {
    reactor->Finish(ToGrpc(status));
    return reactor;
  }
  creation->command.request_id = request->request_id();
  creation->command.digest = DigestOf(*request);
  creation->command.validate_only = request->validate_only();
  creation->command.queue_anyway = request->queue_anyway();
  creation->reply = [reactor, response](absl::StatusOr<v1::Job> job) {
    if (job.ok()) *response = *std::move(job);
    reactor->Finish(ToGrpc(job.status()));
  };
  creation->Run();
  return reactor;
}

grpc::ServerUnaryReactor* JobService::GetJob(grpc::CallbackServerContext* context,
                                             const v1::GetJobRequest* request, v1::Job* response) {
  return ReadState(state_, *context, [request, response](const State& state) -> absl::Status {
    const Job* job = FindJob(state, request->name());
    if (job == nullptr) {
      return absl::NotFoundError(absl::StrCat("there is no job ", request->name()));
    }
    *response = job->proto;
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* JobService::ListJobs(grpc::CallbackServerContext* context,
                                               const v1::ListJobsRequest* request,
                                               v1::ListJobsResponse* response) {
  return ReadState(state_, *context, [request, response](const State& state) -> absl::Status {
    absl::StatusOr<v1::ListJobsResponse> page = coordinator::ListJobs(state, *request);
    if (page.ok()) *response = *std::move(page);
    return page.status();
  });
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
