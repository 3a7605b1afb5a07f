// See cluster_services.h.
#include "coordinator/services/cluster_services.h"

#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "coordinator/core/placing.h"
#include "coordinator/core/proto_time.h"
#include "coordinator/services/digest.h"
#include "coordinator/services/grpc_status.h"

namespace ijepa::coordinator {
namespace {

using Unary = grpc::ServerUnaryReactor;

// As TLS words it: of the name that a certificate is for.
constexpr char kCommonName[] = "x509_common_name";

template <typename Request>
PinCheckpoint PinOf(const Request& request, bool pinned) {
  return {.name = WholeJobName(request.name()),
          .pinned = pinned,
          .etag = request.etag(),
          .request_id = request.request_id(),
          .digest = DigestOf(request, pinned ? "pin" : "unpin")};
}

std::string NodeNameOf(const std::string& name) {
  return std::string(absl::StripPrefix(name, "nodes/"));
}

void Describe(const std::string& name, const NodesSeen& seen, v1::BackendNodes& backend) {
  backend.set_backend(name);
  backend.set_error(seen.error);
  if (seen.look_time > absl::InfinitePast()) *backend.mutable_look_time() = ToProto(seen.look_time);
  for (const BackendNode& node : seen.nodes) {
    v1::BackendNode& described = *backend.add_nodes();
    described.set_name(node.name);
    described.set_state(node.state);
    described.set_reason(node.reason);
    described.set_usable(node.usable);
  }
}

}  // namespace

Unary* CheckpointService::ListCheckpoints(grpc::CallbackServerContext* context,
                                          const v1::ListCheckpointsRequest* request,
                                          v1::ListCheckpointsResponse* response) {
  return calls_.Run({*context, "CheckpointService/ListCheckpoints", ProjectOf(request->parent())},
                    [&](Unary* reactor, const Caller&) {
                      reader_.FindCheckpoints(request->parent(), FinishWith(reactor, response));
                    });
}

Unary* CheckpointService::PinCheckpoint(grpc::CallbackServerContext* context,
                                        const v1::PinCheckpointRequest* request,
                                        v1::Job* response) {
  return calls_.Change({*context, "CheckpointService/PinCheckpoint", ProjectOf(request->name())},
                       request->name(), PinOf(*request, true), response);
}

Unary* CheckpointService::UnpinCheckpoint(grpc::CallbackServerContext* context,
                                          const v1::UnpinCheckpointRequest* request,
                                          v1::Job* response) {
  return calls_.Change({*context, "CheckpointService/UnpinCheckpoint", ProjectOf(request->name())},
                       request->name(), PinOf(*request, false), response);
}

Unary* NodeService::ListNodes(grpc::CallbackServerContext* context, const v1::ListNodesRequest*,
                              v1::ListNodesResponse* response) {
  return calls_.Run({*context, "NodeService/ListNodes"}, [&](Unary* reactor, const Caller&) {
    for (const auto& [name, seen] : backends_.Nodes()) {
      Describe(name, seen, *response->add_backends());
    }
    ReadStateFor(calls_.state(), reactor, [response](const State& state) {
      for (const auto& [name, node] : state.nodes) {
        *response->add_nodes() = DescribeNode(state, name, node);
      }
      return absl::OkStatus();
    });
  });
}

Unary* NodeService::Change(const UnaryCall& call, const std::string& node, Command command,
                           v1::Node* response) {
  return calls_.Run(call, [&](Unary* reactor, const Caller& caller) {
    StateThread& state = calls_.state();
    // The answer to the command comes when it is durable; what the node is then is read after it.
    const auto done = [&state, reactor, response, node](absl::StatusOr<v1::Job> changed) {
      if (!changed.ok()) return reactor->Finish(ToGrpc(changed.status()));
      state.Read([reactor, response, node](const State* now) {
        if (now == nullptr) {
          return reactor->Finish(ToGrpc(absl::UnavailableError("the store cannot be read")));
        }
        const auto found = now->nodes.find(node);
        if (found != now->nodes.end()) *response = DescribeNode(*now, node, found->second);
        reactor->Finish(grpc::Status::OK);
      });
    };
    state.Call(std::move(command), done, ClientCalls::LineOf(call.method, node, caller));
  });
}

Unary* NodeService::ReleaseNode(grpc::CallbackServerContext* context,
                                const v1::ReleaseNodeRequest* request, v1::Node* response) {
  const std::string name = NodeNameOf(request->name());
  return Change({*context, "NodeService/ReleaseNode"}, name, coordinator::ReleaseNode{.name = name},
                response);
}

Unary* NodeService::CordonNode(grpc::CallbackServerContext* context,
                               const v1::CordonNodeRequest* request, v1::Node* response) {
  const std::string name = NodeNameOf(request->name());
  return Change(
      {*context, "NodeService/CordonNode"}, name,
      coordinator::CordonNode{.name = name, .cordoned = true, .reason = request->reason()},
      response);
}

Unary* NodeService::UncordonNode(grpc::CallbackServerContext* context,
                                 const v1::UncordonNodeRequest* request, v1::Node* response) {
  const std::string name = NodeNameOf(request->name());
  return Change({*context, "NodeService/UncordonNode"}, name,
                coordinator::CordonNode{.name = name, .cordoned = false, .reason = ""}, response);
}

Unary* NodeService::SetMaintenance(grpc::CallbackServerContext* context,
                                   const v1::SetMaintenanceRequest* request, v1::Node* response) {
  const std::string name = NodeNameOf(request->name());
  coordinator::SetMaintenance command;
  command.name = name;
  command.windows.assign(request->windows().begin(), request->windows().end());
  return Change({*context, "NodeService/SetMaintenance"}, name, std::move(command), response);
}

Unary* QueueService::ListQueues(grpc::CallbackServerContext* context, const v1::ListQueuesRequest*,
                                v1::ListQueuesResponse* response) {
  return calls_.Run({*context, "QueueService/ListQueues"}, [&](Unary* reactor, const Caller&) {
    ReadStateFor(calls_.state(), reactor, [this, response](const State& state) {
      for (const auto& [name, rules] : rules_.queues) {
        *response->add_queues() = DescribeQueue(state, name, rules_);
      }
      return absl::OkStatus();
    });
  });
}

grpc::ServerWriteReactor<v1::LogLines>* LogService::ReadLogs(grpc::CallbackServerContext* context,
                                                             const v1::ReadLogsRequest* request) {
  absl::StatusOr<Caller> caller =
      gate_.Admit(*context, {"LogService/ReadLogs", ProjectOf(request->job())});
  if (!caller.ok()) return new RefusedStream<v1::LogLines>(caller.status());
  return readers_.NewReader(*request, std::move(caller->pass));
}

Unary* SystemService::GetServerInfo(grpc::CallbackServerContext* context,
                                    const v1::GetServerInfoRequest*, v1::ServerInfo* response) {
  Unary* reactor = context->DefaultReactor();
  *response = info_;
  reactor->Finish(grpc::Status::OK);
  return reactor;
}

Unary* SystemService::BackupStore(grpc::CallbackServerContext* context,
                                  const v1::BackupStoreRequest* request,
                                  v1::BackupStoreResponse* response) {
  return calls_.Run({*context, "SystemService/BackupStore"}, [&](Unary* reactor, const Caller&) {
    backups_.Start(request->file_name(), FinishWith(reactor, response));
  });
}

grpc::ServerBidiReactor<v1::WorkerMessage, v1::CoordinatorMessage>* WorkerService::Connect(
    grpc::CallbackServerContext* context) {
  std::optional<std::string> certified;
  // Without a common name it stays empty, and speaks for no node.
  if (certificates_) certified.emplace();
  for (const grpc::string_ref& name : context->auth_context()->FindPropertyValues(kCommonName)) {
    certified.emplace(name.data(), name.size());
  }
  return streams_.NewStream(certified);
}

}  // namespace ijepa::coordinator
