// The coordinator's mind: deterministic, single-threaded, without clock, I/O or gRPC. The caller
// makes the writes durable and only then lets replies and effects out; if it cannot, it drops the
// core and restores another.
#ifndef IJEPA_COORDINATOR_CORE_CORE_H_
#define IJEPA_COORDINATOR_CORE_CORE_H_

#include <map>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "coordinator/core/command.h"
#include "coordinator/core/options.h"
#include "coordinator/core/records.h"
#include "coordinator/core/state.h"

namespace ijepa::coordinator {

// Owned by the state thread.
class Core {
 public:
  struct Fence {
    // Of this start of the coordinator.
    int64_t epoch = 0;
    // Revisions of desired states that this epoch gave out before; 0 at its start.
    int64_t last_revision = 0;
  };

  // Rebuilds the core from all pairs of a store, with an empty history. Call Begin next.
  static absl::StatusOr<std::unique_ptr<Core>> Restore(const CoreOptions& options, Fence fence,
                                                       const std::vector<KeyValue>& pairs, Now now);
  // The same, from the store itself: nothing is held twice. `past`: what history counts.
  static absl::StatusOr<std::unique_ptr<Core>> Restore(const CoreOptions& options, Fence fence,
                                                       Store& store, const HistoryCounts& past,
                                                       Now now);

  // What a start brings about: live jobs are told of the restart. `restarted`: this is a new epoch,
  // not a reload after a failed commit.
  Outcome Begin(Now now, bool restarted);

  Outcome Apply(const Command& command, Now now);

  // Commands that follow may refer to this job of history (PastJobsOf), until GiveBack. A job that
  // was lent already stays as the commands left it.
  void Lend(v1::SealedJob job);
  void GiveBack();

  // History has forgotten so many jobs of each state.
  void Forget(const std::map<int, int64_t>& by_state);

  const State& state() const { return state_; }

 private:
  explicit Core(const CoreOptions& options) : options_(options) {}
  static absl::StatusOr<std::unique_ptr<Core>> Restore(const CoreOptions& options, Fence fence,
                                                       const ScanPairs& scan,
                                                       const HistoryCounts& past, Now now);

  const CoreOptions options_;
  State state_;
};

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_CORE_CORE_H_
