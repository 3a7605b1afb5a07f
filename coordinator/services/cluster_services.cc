// See cluster_services.h.
#include "coordinator/services/cluster_services.h"

#include "absl/strings/str_cat.h"
#include "coordinator/services/read_state.h"

namespace ijepa::coordinator {

grpc::ServerUnaryReactor* CheckpointService::ListCheckpoints(
    grpc::CallbackServerContext* context, const v1::ListCheckpointsRequest* request,
    v1::ListCheckpointsResponse* response) {
  return ReadState(state_, *context, [request, response](const State& state) -> absl::Status {
    const Job* job = FindJob(state, request->parent());
    if (job == nullptr) {
      return absl::NotFoundError(absl::StrCat("there is no job ", request->parent()));
    }
    for (auto it = job->checkpoints.rbegin(); it != job->checkpoints.rend(); ++it) {
      *response->add_checkpoints() = *it;
    }
    return absl::OkStatus();
  });
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

grpc::ServerUnaryReactor* SystemService::GetServerInfo(grpc::CallbackServerContext* context,
                                                       const v1::GetServerInfoRequest*,
                                                       v1::ServerInfo* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  *response = info_;
  reactor->Finish(grpc::Status::OK);
  return reactor;
}

}  // namespace ijepa::coordinator
