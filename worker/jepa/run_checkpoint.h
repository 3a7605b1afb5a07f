// A run's position and its checkpoints: what is written beside the tensors, and whether one that is
// found belongs to this run.
#ifndef IJEPA_WORKER_JEPA_RUN_CHECKPOINT_H_
#define IJEPA_WORKER_JEPA_RUN_CHECKPOINT_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/jepa/checkpoint/checkpoint.h"
#include "worker/jepa/config.h"
#include "worker/jepa/mask_streams.h"
#include "worker/jepa/model/learner.h"

namespace jepa {

// Images of one step over all shards.
int64_t GlobalBatch(const TrainConfig& config);

// Figures of the step before, which other programs want beside the tensors (exchange).
struct RunFigures {
  int64_t steps_per_epoch = 0;
  double loss = 0;
  double lr = 0;
  double weight_decay = 0;
};

// Everything of a run that a checkpoint keeps; learner and masks are borrowed.
struct RunState {
  Learner& learner;
  MaskStreams& masks;
  RunFigures figures;
};

// What a checkpoint after `step` finished steps says besides its tensors. The same on every rank.
CheckpointMeta MetaOf(const TrainConfig& config, const RunState& state, int64_t step);

// FailedPrecondition, naming both sides, unless the checkpoint is of this job, seed, global batch
// and model.
absl::Status CheckSameRun(const TrainConfig& config, const CheckpointReader& checkpoint,
                          const std::string& model_line);

// Puts the checkpoint into `state`. After an error `state` is to be restored from another one.
absl::Status RestoreRun(const CheckpointReader& checkpoint, const RunState& state);

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_RUN_CHECKPOINT_H_
