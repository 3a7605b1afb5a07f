// See job_service.h.
#include "coordinator/services/job_service.h"

#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "coordinator/core/explain.h"
#include "coordinator/services/digest.h"
#include "coordinator/services/grpc_status.h"
#include "coordinator/services/submission.h"

namespace ijepa::coordinator {
namespace {

using Unary = grpc::ServerUnaryReactor;

template <typename Request>
SteerJob SteeringOf(const Request& request, Steering steering) {
  return {.name = WholeJobName(request.name()),
          .steering = steering,
          .etag = request.etag(),
          .request_id = request.request_id(),
          .digest = DigestOf(request, absl::StrCat("steer", static_cast<int>(steering)))};
}

// A job that is to be made, by whom.
void Submit(ClientCalls& calls, const char* method, const Caller& caller,
            absl::StatusOr<CreateJob> command, std::function<void(absl::StatusOr<v1::Job>)> done) {
  if (!command.ok()) return done(command.status());
  command->user = caller.user;
  std::string resource = command->parent;
  calls.state().Call(*std::move(command), std::move(done),
                     ClientCalls::LineOf(method, resource, caller));
}

}  // namespace

Unary* JobService::CreateJob(Context* context, const v1::CreateJobRequest* request,
                             v1::Job* response) {
  static constexpr char kMethod[] = "JobService/CreateJob";
  const std::string project = ProjectAsked(request->project());
  return parts_.calls.Run({*context, kMethod, project}, [&](Unary* reactor, const Caller& caller) {
    Submit(parts_.calls, kMethod, caller, JobCommand(*request, parts_.random),
           FinishWith(reactor, response));
  });
}

Unary* JobService::GetJob(Context* context, const v1::GetJobRequest* request, v1::Job* response) {
  return parts_.calls.Run({*context, "JobService/GetJob", ProjectOf(request->name())},
                          [&](Unary* reactor, const Caller&) {
                            parts_.reader.Find(request->name(), FinishWith(reactor, response));
                          });
}

Unary* JobService::ListJobs(Context* context, const v1::ListJobsRequest* request,
                            v1::ListJobsResponse* response) {
  return parts_.calls.Run({*context, "JobService/ListJobs", ProjectAsked(request->project())},
                          [&](Unary* reactor, const Caller&) {
                            parts_.reader.List(*request, FinishWith(reactor, response));
                          });
}

Unary* JobService::CancelJob(Context* context, const v1::CancelJobRequest* request,
                             v1::Job* response) {
  return parts_.calls.Change({*context, "JobService/CancelJob", ProjectOf(request->name())},
                             request->name(),
                             coordinator::CancelJob{.name = WholeJobName(request->name()),
                                                    .etag = request->etag(),
                                                    .request_id = request->request_id(),
                                                    .digest = DigestOf(*request, "cancel")},
                             response);
}

Unary* JobService::HoldJob(Context* context, const v1::HoldJobRequest* request, v1::Job* response) {
  return parts_.calls.Change({*context, "JobService/HoldJob", ProjectOf(request->name())},
                             request->name(), SteeringOf(*request, Steering::kHold), response);
}

Unary* JobService::ReleaseJob(Context* context, const v1::ReleaseJobRequest* request,
                              v1::Job* response) {
  return parts_.calls.Change({*context, "JobService/ReleaseJob", ProjectOf(request->name())},
                             request->name(), SteeringOf(*request, Steering::kRelease), response);
}

Unary* JobService::PauseJob(Context* context, const v1::PauseJobRequest* request,
                            v1::Job* response) {
  return parts_.calls.Change({*context, "JobService/PauseJob", ProjectOf(request->name())},
                             request->name(), SteeringOf(*request, Steering::kPause), response);
}

Unary* JobService::ResumeJob(Context* context, const v1::ResumeJobRequest* request,
                             v1::Job* response) {
  return parts_.calls.Change({*context, "JobService/ResumeJob", ProjectOf(request->name())},
                             request->name(), SteeringOf(*request, Steering::kResume), response);
}

Unary* JobService::ForkJob(Context* context, const v1::ForkJobRequest* request, v1::Job* response) {
  static constexpr char kMethod[] = "JobService/ForkJob";
  const std::string project = ProjectOf(request->name());
  return parts_.calls.Run({*context, kMethod, project}, [&](Unary* reactor, const Caller& caller) {
    parts_.reader.FindWhole(request->name(), [this, caller, request,
                                              done = FinishWith(reactor, response)](
                                                 absl::StatusOr<v1::SealedJob> parent) {
      if (!parent.ok()) return done(parent.status());
      Submit(parts_.calls, kMethod, caller, ForkCommand(*request, *parent, parts_.random), done);
    });
  });
}

Unary* JobService::ExplainJob(Context* context, const v1::ExplainJobRequest* request,
                              v1::JobExplanation* response) {
  return parts_.calls.Run({*context, "JobService/ExplainJob", ProjectOf(request->name())},
                          [&](Unary* reactor, const Caller&) {
                            parts_.reader.Find(request->name(),
                                               [this, done = FinishWith(reactor, response)](
                                                   absl::StatusOr<v1::Job> job) {
                                                 if (!job.ok()) return done(job.status());
                                                 done(Explain(*job, parts_.options));
                                               });
                          });
}

grpc::ServerWriteReactor<v1::Job>* JobService::WatchJob(Context* context,
                                                        const v1::WatchJobRequest* request) {
  absl::StatusOr<Caller> caller =
      parts_.calls.gate().Admit(*context, {"JobService/WatchJob", ProjectOf(request->name())});
  if (!caller.ok()) return new RefusedStream<v1::Job>(caller.status());
  return parts_.watchers.NewWatcher(request->name(), std::move(caller->pass));
}

grpc::ServerWriteReactor<v1::WatchJobsResponse>* JobService::WatchJobs(
    Context* context, const v1::WatchJobsRequest* request) {
  absl::StatusOr<Caller> caller = parts_.calls.gate().Admit(
      *context, {"JobService/WatchJobs", ProjectAsked(request->project())});
  if (!caller.ok()) return new RefusedStream<v1::WatchJobsResponse>(caller.status());
  return parts_.list_watchers.NewWatcher(*request, std::move(caller->pass));
}

}  // namespace ijepa::coordinator
