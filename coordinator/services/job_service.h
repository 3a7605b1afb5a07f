// Jobs over gRPC: checks and resolves what clients send, and hands it to the state thread. Handlers
// never block.
#ifndef IJEPA_COORDINATOR_SERVICES_JOB_SERVICE_H_
#define IJEPA_COORDINATOR_SERVICES_JOB_SERVICE_H_

#include <grpcpp/grpcpp.h>

#include <functional>
#include <string>

#include "coordinator/services/job_reader.h"
#include "coordinator/services/watchers.h"
#include "ijepa/v1/coordinator.grpc.pb.h"

namespace ijepa::coordinator {

class StateThread;

// Thread-safe.
class JobService : public v1::JobService::CallbackService {
 public:
  // `random` gives text of the given length, of digits and lower-case letters; thread-safe.
  using RandomText = std::function<std::string(int length)>;

  JobService(StateThread& state, JobReader& reader, Watchers& watchers, RandomText random)
      : state_(state), reader_(reader), watchers_(watchers), random_(std::move(random)) {}

  grpc::ServerUnaryReactor* CreateJob(grpc::CallbackServerContext* context,
                                      const v1::CreateJobRequest* request,
                                      v1::Job* response) override;
  grpc::ServerUnaryReactor* GetJob(grpc::CallbackServerContext* context,
                                   const v1::GetJobRequest* request, v1::Job* response) override;
  grpc::ServerUnaryReactor* ListJobs(grpc::CallbackServerContext* context,
                                     const v1::ListJobsRequest* request,
                                     v1::ListJobsResponse* response) override;
  grpc::ServerUnaryReactor* CancelJob(grpc::CallbackServerContext* context,
                                      const v1::CancelJobRequest* request,
                                      v1::Job* response) override;
  grpc::ServerWriteReactor<v1::Job>* WatchJob(grpc::CallbackServerContext* context,
                                              const v1::WatchJobRequest* request) override;

 private:
  StateThread& state_;
  JobReader& reader_;
  Watchers& watchers_;
  const RandomText random_;
};

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_SERVICES_JOB_SERVICE_H_
