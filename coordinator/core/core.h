// The coordinator's mind: deterministic, single-threaded, without clock, I/O or gRPC. The caller
// makes the writes durable and only then lets replies and effects out; if it cannot, it drops the
// core and restores another.
#ifndef IJEPA_COORDINATOR_CORE_CORE_H_
#define IJEPA_COORDINATOR_CORE_CORE_H_

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "coordinator/core/command.h"
#include "coordinator/core/options.h"
#include "coordinator/core/state.h"

namespace ijepa::coordinator {

// Owned by the state thread.
class Core {
 public:
  // Rebuilds the core from all pairs of a store, as the coordinator of `epoch`. Call Begin next.
  static absl::StatusOr<std::unique_ptr<Core>> Restore(const CoreOptions& options, int64_t epoch,
                                                       const std::vector<KeyValue>& pairs, Now now);

  // What a start brings about: live jobs are told of the restart. `restarted`: this is a new epoch,
  // not a reload after a failed commit.
  Outcome Begin(Now now, bool restarted);

  Outcome Apply(const Command& command, Now now);

  const State& state() const { return state_; }

 private:
  explicit Core(const CoreOptions& options) : options_(options) {}

  const CoreOptions options_;
  State state_;
};

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_CORE_CORE_H_
