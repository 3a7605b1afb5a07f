// The small services: checkpoints, nodes, logs, the coordinator itself, and the workers' door.
#ifndef IJEPA_COORDINATOR_SERVICES_CLUSTER_SERVICES_H_
#define IJEPA_COORDINATOR_SERVICES_CLUSTER_SERVICES_H_

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>
#include <utility>

#include "common/clock.h"
#include "coordinator/backends/backend_hub.h"
#include "coordinator/core/command.h"
#include "coordinator/core/queues.h"
#include "coordinator/services/backups.h"
#include "coordinator/services/client_calls.h"
#include "coordinator/services/job_reader.h"
#include "coordinator/services/log_readers.h"
#include "coordinator/services/worker_streams.h"
#include "ijepa/v1/coordinator.grpc.pb.h"
#include "ijepa/v1/worker.grpc.pb.h"

namespace ijepa::coordinator {

// All thread-safe; what they borrow outlives them.
class CheckpointService : public v1::CheckpointService::CallbackService {
 public:
  CheckpointService(ClientCalls& calls, JobReader& reader) : calls_(calls), reader_(reader) {}
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
  ClientCalls& calls_;
  JobReader& reader_;
};

class NodeService : public v1::NodeService::CallbackService {
 public:
  NodeService(ClientCalls& calls, const BackendHub& backends)
      : calls_(calls), backends_(backends) {}
  // Nodes of own workers, and what backends say of their machines.
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
  // Gives `command` to the core and answers with the node as it is after that.
  grpc::ServerUnaryReactor* Change(const UnaryCall& call, const std::string& node, Command command,
                                   v1::Node* response);

  ClientCalls& calls_;
  const BackendHub& backends_;
};

// Queues and how they are used.
class QueueService : public v1::QueueService::CallbackService {
 public:
  QueueService(ClientCalls& calls, SchedulingRules rules)
      : calls_(calls), rules_(std::move(rules)) {}
  grpc::ServerUnaryReactor* ListQueues(grpc::CallbackServerContext* context,
                                       const v1::ListQueuesRequest* request,
                                       v1::ListQueuesResponse* response) override;

 private:
  ClientCalls& calls_;
  const SchedulingRules rules_;
};

class LogService : public v1::LogService::CallbackService {
 public:
  LogService(Gate& gate, LogReaders& readers) : gate_(gate), readers_(readers) {}
  grpc::ServerWriteReactor<v1::LogLines>* ReadLogs(grpc::CallbackServerContext* context,
                                                   const v1::ReadLogsRequest* request) override;

 private:
  Gate& gate_;
  LogReaders& readers_;
};

class SystemService : public v1::SystemService::CallbackService {
 public:
  SystemService(ClientCalls& calls, Backups& backups, v1::ServerInfo info)
      : calls_(calls), backups_(backups), info_(std::move(info)) {}
  // Anyone may ask.
  grpc::ServerUnaryReactor* GetServerInfo(grpc::CallbackServerContext* context,
                                          const v1::GetServerInfoRequest*,
                                          v1::ServerInfo* response) override;
  grpc::ServerUnaryReactor* BackupStore(grpc::CallbackServerContext* context,
                                        const v1::BackupStoreRequest* request,
                                        v1::BackupStoreResponse* response) override;

 private:
  ClientCalls& calls_;
  Backups& backups_;
  const v1::ServerInfo info_;
};

class WorkerService : public v1::WorkerService::CallbackService {
 public:
  // `certificates`: every worker has shown one.
  WorkerService(WorkerStreams& streams, bool certificates)
      : streams_(streams), certificates_(certificates) {}
  // The common name of the certificate is the only node that the worker may speak for.
  grpc::ServerBidiReactor<v1::WorkerMessage, v1::CoordinatorMessage>* Connect(
      grpc::CallbackServerContext* context) override;

 private:
  WorkerStreams& streams_;
  const bool certificates_;
};

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_SERVICES_CLUSTER_SERVICES_H_
