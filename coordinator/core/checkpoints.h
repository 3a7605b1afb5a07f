// The registry of committed checkpoints: compare-and-swap on (job, generation, step), and
// retention.
#ifndef IJEPA_COORDINATOR_CORE_CHECKPOINTS_H_
#define IJEPA_COORDINATOR_CORE_CHECKPOINTS_H_

#include "coordinator/core/turn.h"

namespace ijepa::coordinator {

// Commits a checkpoint of the job's live attempt if its step is past the last committed one; the
// same path again is fine. The answer names folders that may be deleted: those that retention
// dropped now, and with the last commit in case the rank died before it deleted them. What stays:
// retention.h.
v1::CommitResult CommitCheckpoint(Turn& turn, Job& job, v1::Checkpoint checkpoint);

// The attempt resumed from `step`: committed checkpoints past it were not usable and leave the
// registry.
void RollBackTo(Turn& turn, Job& job, int64_t step);

// Pins or unpins; replies with the job, or NotFound.
void HandlePin(Turn& turn, const PinCheckpoint& command);

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_CORE_CHECKPOINTS_H_
