// See read_state.h.
#include "coordinator/services/read_state.h"

#include <utility>

#include "coordinator/services/grpc_status.h"
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

}  // namespace ijepa::coordinator
