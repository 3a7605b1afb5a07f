// Runs one rank of a pretraining job from its newest usable checkpoint to its last step. This
// header is free of LibTorch.
#ifndef IJEPA_WORKER_JEPA_TRAINER_H_
#define IJEPA_WORKER_JEPA_TRAINER_H_

#include "absl/status/statusor.h"
#include "worker/jepa/config.h"
#include "worker/jepa/run_host.h"

namespace jepa {

enum class TrainOutcome { kCompleted, kDrained };

// Trains until the last step (kCompleted, final checkpoint committed) or until a drain was agreed
// on by all ranks (kDrained, a checkpoint of the agreed step committed). Blocks; the calling thread
// becomes the training thread. Errors: InvalidArgument (the spec asks for what this rank cannot
// do), NotFound or FailedPrecondition (data), DataLoss (no usable checkpoint though some are
// committed, unreadable data past the limit), ResourceExhausted (disk or memory full), Aborted
// (superseded, or a peer is gone), OutOfRange (loss or gradient not finite, more often than
// config.faults allows), Internal (our bug, or LibTorch's).
absl::StatusOr<TrainOutcome> Train(const TrainConfig& config, RunHost& host);

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_TRAINER_H_
