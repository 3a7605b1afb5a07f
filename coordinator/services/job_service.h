// Jobs over gRPC: checks and resolves what clients send, and hands it to the state thread. Handlers
// never block.
#ifndef IJEPA_COORDINATOR_SERVICES_JOB_SERVICE_H_
#define IJEPA_COORDINATOR_SERVICES_JOB_SERVICE_H_

#include <grpcpp/grpcpp.h>

#include <functional>
#include <string>

#include "coordinator/core/options.h"
#include "coordinator/services/client_calls.h"
#include "coordinator/services/job_reader.h"
#include "coordinator/services/list_watchers.h"
#include "coordinator/services/submission.h"
#include "coordinator/services/watchers.h"
#include "ijepa/v1/coordinator.grpc.pb.h"

namespace ijepa::coordinator {

// Thread-safe. What it is given outlives it.
class JobService : public v1::JobService::CallbackService {
 public:
  using Unary = grpc::ServerUnaryReactor;
  using Context = grpc::CallbackServerContext;

  struct Parts {
    ClientCalls& calls;
    JobReader& reader;
    Watchers& watchers;
    ListWatchers& list_watchers;
    RandomText random;
    CoreOptions options;
  };
  explicit JobService(Parts parts) : parts_(std::move(parts)) {}

  Unary* CreateJob(Context* context, const v1::CreateJobRequest* request,
                   v1::Job* response) override;
  Unary* GetJob(Context* context, const v1::GetJobRequest* request, v1::Job* response) override;
  Unary* ListJobs(Context* context, const v1::ListJobsRequest* request,
                  v1::ListJobsResponse* response) override;
  Unary* CancelJob(Context* context, const v1::CancelJobRequest* request,
                   v1::Job* response) override;
  Unary* HoldJob(Context* context, const v1::HoldJobRequest* request, v1::Job* response) override;
  Unary* ReleaseJob(Context* context, const v1::ReleaseJobRequest* request,
                    v1::Job* response) override;
  Unary* PauseJob(Context* context, const v1::PauseJobRequest* request, v1::Job* response) override;
  Unary* ResumeJob(Context* context, const v1::ResumeJobRequest* request,
                   v1::Job* response) override;
  Unary* ForkJob(Context* context, const v1::ForkJobRequest* request, v1::Job* response) override;
  Unary* ExplainJob(Context* context, const v1::ExplainJobRequest* request,
                    v1::JobExplanation* response) override;
  grpc::ServerWriteReactor<v1::Job>* WatchJob(Context* context,
                                              const v1::WatchJobRequest* request) override;
  grpc::ServerWriteReactor<v1::WatchJobsResponse>* WatchJobs(
      Context* context, const v1::WatchJobsRequest* request) override;

 private:
  Parts parts_;
};

// Many jobs of one spec. Thread-safe.
class ArrayService : public v1::ArrayService::CallbackService {
 public:
  using Unary = grpc::ServerUnaryReactor;
  using Context = grpc::CallbackServerContext;

  // What it is given outlives it.
  ArrayService(ClientCalls& calls, JobReader& reader, RandomText random)
      : calls_(calls), reader_(reader), random_(std::move(random)) {}

  Unary* CreateArray(Context* context, const v1::CreateArrayRequest* request,
                     v1::JobArray* response) override;
  Unary* GetArray(Context* context, const v1::GetArrayRequest* request,
                  v1::JobArray* response) override;
  Unary* CancelArray(Context* context, const v1::CancelArrayRequest* request,
                     v1::JobArray* response) override;

 private:
  using Answer = std::function<void(absl::StatusOr<v1::JobArray>)>;
  // All jobs of the array as they are.
  void Read(const std::string& name, Answer answer);

  ClientCalls& calls_;
  JobReader& reader_;
  const RandomText random_;
};

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_SERVICES_JOB_SERVICE_H_
