// See state_calls.h.
#include "coordinator/services/state_calls.h"

#include <utility>

#include "coordinator/state_thread.h"

namespace ijepa::coordinator {

grpc::ServerUnaryReactor* ReadState(StateThread& state, grpc::CallbackServerContext& context,
                                    std::function<absl::Status(const State&)> read) {
  grpc::ServerUnaryReactor* reactor = context.DefaultReactor();
  absl::Status taken = state.TryRead([reactor, read = std::move(read)](const State* now) {
    reactor->Finish(
        ToGrpc(now == nullptr ? absl::UnavailableError("the store cannot be read") : read(*now)));
  });
  if (!taken.ok()) reactor->Finish(ToGrpc(taken));
  return reactor;
}

grpc::ServerUnaryReactor* ChangeJob(StateThread& state, grpc::CallbackServerContext& context,
                                    Command command, v1::Job* response) {
  grpc::ServerUnaryReactor* reactor = context.DefaultReactor();
  state.Call(std::move(command), FinishWith(reactor, response));
  return reactor;
}

}  // namespace ijepa::coordinator
