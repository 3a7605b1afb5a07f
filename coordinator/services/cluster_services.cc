// See cluster_services.h.
#include "coordinator/services/cluster_services.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
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

grpc::ServerUnaryReactor* NodeService::ReleaseNode(grpc::CallbackServerContext* context,
                                                   const v1::ReleaseNodeRequest* request,
                                                   v1::Node* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  coordinator::ReleaseNode command;
  command.name = std::string(absl::StripPrefix(request->name(), "nodes/"));
  // The answer to the command comes when it is durable; what the node is then is read after it.
  const std::string name = command.name;
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

grpc::ServerUnaryReactor* SystemService::GetServerInfo(grpc::CallbackServerContext* context,
                                                       const v1::GetServerInfoRequest*,
                                                       v1::ServerInfo* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  *response = info_;
  reactor->Finish(grpc::Status::OK);
  return reactor;
}

}  // namespace ijepa::coordinator
