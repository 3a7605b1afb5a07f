// See cluster_services.h.
#include "coordinator/services/cluster_services.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "coordinator/core/placing.h"
#include "coordinator/services/grpc_status.h"
#include "coordinator/services/state_calls.h"
#include "coordinator/state_thread.h"

namespace ijepa::coordinator {

grpc::ServerUnaryReactor* CheckpointService::ListCheckpoints(
    grpc::CallbackServerContext* context, const v1::ListCheckpointsRequest* request,
    v1::ListCheckpointsResponse* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  reader_.FindCheckpoints(request->parent(), FinishWith(reactor, response));
  return reactor;
}

grpc::ServerUnaryReactor* CheckpointService::PinCheckpoint(grpc::CallbackServerContext* context,
                                                           const v1::PinCheckpointRequest* request,
                                                           v1::Job* response) {
  return ChangeJob(state_, *context,
                   coordinator::PinCheckpoint{.name = request->name(), .pinned = true}, response);
}

grpc::ServerUnaryReactor* CheckpointService::UnpinCheckpoint(
    grpc::CallbackServerContext* context, const v1::UnpinCheckpointRequest* request,
    v1::Job* response) {
  return ChangeJob(state_, *context,
                   coordinator::PinCheckpoint{.name = request->name(), .pinned = false}, response);
}

grpc::ServerUnaryReactor* NodeService::ListNodes(grpc::CallbackServerContext* context,
                                                 const v1::ListNodesRequest*,
                                                 v1::ListNodesResponse* response) {
  return ReadState(state_, *context, [response](const State& state) -> absl::Status {
    for (const auto& [name, node] : state.nodes) {
      *response->add_nodes() = DescribeNode(state, name, node);
    }
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* NodeService::Change(grpc::CallbackServerContext& context, Command command,
                                              std::string name, v1::Node* response) {
  grpc::ServerUnaryReactor* reactor = context.DefaultReactor();
  // The answer to the command comes when it is durable; what the node is then is read after it.
  state_.Call(std::move(command), [this, reactor, response, name](absl::StatusOr<v1::Job> done) {
    if (!done.ok()) return reactor->Finish(ToGrpc(done.status()));
    state_.Read([reactor, response, name](const State* state) {
      if (state == nullptr) {
        return reactor->Finish(ToGrpc(absl::UnavailableError("the store cannot be read")));
      }
      const auto found = state->nodes.find(name);
      if (found != state->nodes.end()) *response = DescribeNode(*state, name, found->second);
      reactor->Finish(grpc::Status::OK);
    });
  });
  return reactor;
}

namespace {

std::string NodeNameOf(const std::string& name) {
  return std::string(absl::StripPrefix(name, "nodes/"));
}

}  // namespace

grpc::ServerUnaryReactor* NodeService::ReleaseNode(grpc::CallbackServerContext* context,
                                                   const v1::ReleaseNodeRequest* request,
                                                   v1::Node* response) {
  const std::string name = NodeNameOf(request->name());
  return Change(*context, coordinator::ReleaseNode{.name = name}, name, response);
}

grpc::ServerUnaryReactor* NodeService::CordonNode(grpc::CallbackServerContext* context,
                                                  const v1::CordonNodeRequest* request,
                                                  v1::Node* response) {
  const std::string name = NodeNameOf(request->name());
  return Change(
      *context,
      coordinator::CordonNode{.name = name, .cordoned = true, .reason = request->reason()}, name,
      response);
}

grpc::ServerUnaryReactor* NodeService::UncordonNode(grpc::CallbackServerContext* context,
                                                    const v1::UncordonNodeRequest* request,
                                                    v1::Node* response) {
  const std::string name = NodeNameOf(request->name());
  return Change(*context, coordinator::CordonNode{.name = name, .cordoned = false, .reason = ""},
                name, response);
}

grpc::ServerUnaryReactor* NodeService::SetMaintenance(grpc::CallbackServerContext* context,
                                                      const v1::SetMaintenanceRequest* request,
                                                      v1::Node* response) {
  const std::string name = NodeNameOf(request->name());
  coordinator::SetMaintenance command;
  command.name = name;
  command.windows.assign(request->windows().begin(), request->windows().end());
  return Change(*context, std::move(command), name, response);
}

grpc::ServerUnaryReactor* QueueService::ListQueues(grpc::CallbackServerContext* context,
                                                   const v1::ListQueuesRequest*,
                                                   v1::ListQueuesResponse* response) {
  return ReadState(state_, *context, [this, response](const State& state) -> absl::Status {
    for (const auto& [name, rules] : rules_.queues) {
      *response->add_queues() = DescribeQueue(state, name, rules_);
    }
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* SystemService::GetServerInfo(grpc::CallbackServerContext* context,
                                                       const v1::GetServerInfoRequest*,
                                                       v1::ServerInfo* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  *response = info_;
  reactor->Finish(grpc::Status::OK);
  return reactor;
}

}  // namespace ijepa::coordinator
