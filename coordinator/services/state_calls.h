// Unary calls that read the state, or change a job in it.
#ifndef IJEPA_COORDINATOR_SERVICES_STATE_CALLS_H_
#define IJEPA_COORDINATOR_SERVICES_STATE_CALLS_H_

#include <grpcpp/grpcpp.h>

#include <functional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "coordinator/core/command.h"
#include "coordinator/core/state.h"
#include "coordinator/services/grpc_status.h"

namespace ijepa::coordinator {

class StateThread;

// Runs `read` on the state thread and finishes the call with its status: ResourceExhausted if too
// many calls wait, Unavailable while there is no state. What `read` borrows from the call lives
// until then.
void ReadStateFor(StateThread& state, grpc::ServerUnaryReactor* reactor,
                  std::function<absl::Status(const State&)> read);

// A callback that finishes the call with what it is given.
template <typename Response>
std::function<void(absl::StatusOr<Response>)> FinishWith(grpc::ServerUnaryReactor* reactor,
                                                         Response* response) {
  return [reactor, response](absl::StatusOr<Response> answer) {
    if (answer.ok()) *response = *std::move(answer);
    reactor->Finish(ToGrpc(answer.status()));
  };
}

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_SERVICES_STATE_CALLS_H_
