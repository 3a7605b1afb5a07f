// The small services: checkpoints, nodes, logs, the coordinator itself, and the workers' door.
#ifndef IJEPA_COORDINATOR_SERVICES_CLUSTER_SERVICES_H_
#define IJEPA_COORDINATOR_SERVICES_CLUSTER_SERVICES_H_

#include <grpcpp/grpcpp.h>

#include <string>
#include <utility>

#include "coordinator/core/command.h"
#include "coordinator/core/queues.h"
#include "coordinator/services/job_reader.h"
#include "coordinator/services/log_readers.h"
#include "coordinator/services/worker_streams.h"
#include "ijepa/v1/coordinator.grpc.pb.h"
#include "ijepa/v1/worker.grpc.pb.h"

namespace ijepa::coordinator {

class StateThread;

// All thread-safe; what they borrow outlives them.
class CheckpointService : public v1::CheckpointService::CallbackService {
 public:
  CheckpointService(StateThread& state, JobReader& reader) : state_(state), reader_(reader) {}
  grpc::ServerUnaryReactor* ListCheckpoints(grpc::CallbackServerContext* context,
                                            const v1::ListCheckpointsRequest* request,
                                            v1::ListCheckpointsResponse* response) override;
  grpc::ServerUnaryReactor* PinCheckpoint(grpc::CallbackServerContext* context,
                                          const v1::PinCheckpointRequest* request,
                                          v1::Job* response) override;
  grpc::ServerUnaryReactor* UnpinCheckpoint(grpc::CallbackServerContext* context,
                                            const v1::UnpinCheckpointRequest* request,
                                            v1::Job* response) override;

 private:
  StateThread& state_;
  JobReader& reader_;
};

class NodeService : public v1::NodeService::CallbackService {
 public:
  explicit NodeService(StateThread& state) : state_(state) {}
  grpc::ServerUnaryReactor* ListNodes(grpc::CallbackServerContext* context,
                                      const v1::ListNodesRequest* request,
                                      v1::ListNodesResponse* response) override;
  grpc::ServerUnaryReactor* ReleaseNode(grpc::CallbackServerContext* context,
                                        const v1::ReleaseNodeRequest* request,
                                        v1::Node* response) override;
  grpc::ServerUnaryReactor* CordonNode(grpc::CallbackServerContext* context,
                                       const v1::CordonNodeRequest* request,
                                       v1::Node* response) override;
  grpc::ServerUnaryReactor* UncordonNode(grpc::CallbackServerContext* context,
                                         const v1::UncordonNodeRequest* request,
                                         v1::Node* response) override;
  grpc::ServerUnaryReactor* SetMaintenance(grpc::CallbackServerContext* context,
                                           const v1::SetMaintenanceRequest* request,
                                           v1::Node* response) override;

 private:
  // Gives a command for the node of that name to the core, and answers with the node.
  grpc::ServerUnaryReactor* Change(grpc::CallbackServerContext& context, Command command,
                                   std::string name, v1::Node* response);

  StateThread& state_;
};

// Queues and how they are used.
class QueueService : public v1::QueueService::CallbackService {
 public:
  QueueService(StateThread& state, SchedulingRules rules)
      : state_(state), rules_(std::move(rules)) {}
  grpc::ServerUnaryReactor* ListQueues(grpc::CallbackServerContext* context,
                                       const v1::ListQueuesRequest* request,
                                       v1::ListQueuesResponse* response) override;

 private:
  StateThread& state_;
  const SchedulingRules rules_;
};

class LogService : public v1::LogService::CallbackService {
 public:
  explicit LogService(LogReaders& readers) : readers_(readers) {}
  grpc::ServerWriteReactor<v1::LogLines>* ReadLogs(grpc::CallbackServerContext*,
                                                   const v1::ReadLogsRequest* request) override {
    return readers_.NewReader(*request);
  }

 private:
  LogReaders& readers_;
};

class SystemService : public v1::SystemService::CallbackService {
 public:
  explicit SystemService(v1::ServerInfo info) : info_(std::move(info)) {}
  grpc::ServerUnaryReactor* GetServerInfo(grpc::CallbackServerContext* context,
                                          const v1::GetServerInfoRequest*,
                                          v1::ServerInfo* response) override;

 private:
  const v1::ServerInfo info_;
};

class WorkerService : public v1::WorkerService::CallbackService {
 public:
  explicit WorkerService(WorkerStreams& streams) : streams_(streams) {}
  grpc::ServerBidiReactor<v1::WorkerMessage, v1::CoordinatorMessage>* Connect(
      grpc::CallbackServerContext*) override {
    return streams_.NewStream();
  }

 private:
  WorkerStreams& streams_;
};

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_SERVICES_CLUSTER_SERVICES_H_
