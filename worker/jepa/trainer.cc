// The loop (train_run) with the real learner.
#include "worker/jepa/trainer.h"

#include "worker/jepa/model/learner.h"
#include "worker/jepa/train_run.h"

namespace jepa {

absl::StatusOr<TrainOutcome> Train(const TrainConfig& config, RunHost& host) {
  TrainParts parts;
  parts.make_learner = &Learner::Create;
  return RunTraining(config, host, parts);
}

}  // namespace jepa
