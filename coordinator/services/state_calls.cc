// See state_calls.h.
#include "coordinator/services/state_calls.h"

#include <utility>

#include "coordinator/state_thread.h"

namespace ijepa::coordinator {

void ReadStateFor(StateThread& state, grpc::ServerUnaryReactor* reactor,
                  std::function<absl::Status(const State&)> read) {
  const absl::Status taken = state.TryRead([reactor, read = std::move(read)](const State* now) {
    reactor->Finish(
        ToGrpc(now == nullptr ? absl::UnavailableError("the store cannot be read") : read(*now)));
  });
  if (!taken.ok()) reactor->Finish(ToGrpc(taken));
}

}  // namespace ijepa::coordinator
