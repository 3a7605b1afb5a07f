// Which committed checkpoints of a job stay. Pure.
#ifndef IJEPA_COORDINATOR_CORE_RETENTION_H_
#define IJEPA_COORDINATOR_CORE_RETENTION_H_

#include <cstddef>
#include <string>
#include <vector>

#include "coordinator/core/state.h"

namespace ijepa::coordinator {

// What keeps a checkpoint, as Checkpoint.kept_for says it.
inline constexpr char kKeptNewest[] = "NEWEST";  // One of the newest keep_last + 1.
inline constexpr char kKeptEpoch[] = "EPOCH";    // At the end of a keep_every_epochs-th epoch.
inline constexpr char kKeptBest[] = "BEST";      // The best probe; keep_best.
inline constexpr char kKeptPinned[] = "PINNED";
inline constexpr char kKeptInUse[] = "IN_USE";  // A job that has not ended starts from it.

// Why job.checkpoints[index] stays; empty: it may be deleted. The newest two always stay, so that
// one bad checkpoint never costs the run.
std::vector<std::string> KeptFor(const State& state, const Job& job, size_t index);

// Whether KeptFor is empty; looks at other jobs only where the job's own rules let it go.
bool MayGo(const State& state, const Job& job, size_t index);

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_CORE_RETENTION_H_
