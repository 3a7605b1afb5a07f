// Steps of a real learner and the most memory that their tensors took; what the estimate says of
// the same steps.
#ifndef IJEPA_TESTS_BENCH_LEARNER_STEPS_H_
#define IJEPA_TESTS_BENCH_LEARNER_STEPS_H_

#include <algorithm>
#include <cstdint>

#include "absl/status/statusor.h"
#include "common/status_macros.h"
#include "tests/bench/tensor_peak.h"
#include "tests/train/model/learner_fixture.h"
#include "worker/jepa/model/learner.h"
#include "worker/jepa/plan/memory.h"

namespace jepa {

struct MeasuredSteps {
  int64_t peak_bytes = 0;  // Of tensors.
  ExpectedMasks largest;   // Kept patches of the largest step.
};

// Makes a learner of `config` and takes `steps` steps of one shard: random pixels, masks that
// differ from step to step as in a run.
inline absl::StatusOr<MeasuredSteps> MeasureSteps(const TrainConfig& config, int steps) {
  const MaskGrid grid{config.model.grid_height, config.model.grid_width};
  const auto sampler = NewMaskSampler(config.mask, grid, config.seed, /*shard=*/0);
  const Batch batch = testing::RandomBatch(config, config.data.batch_size, /*seed=*/1);
  MeasuredSteps measured;
  const TensorPeak peak;
  IJEPA_ASSIGN_OR_RETURN(const auto learner, Learner::Create(config));
  for (int step = 0; step < steps; ++step) {
    IJEPA_ASSIGN_OR_RETURN(const MaskBatch masks, sampler->Sample(step, config.data.batch_size));
    ExpectedMasks& largest = measured.largest;
    largest.context_patches = std::max<double>(largest.context_patches, masks.context_patches);
    largest.target_patches = std::max<double>(largest.target_patches, masks.target_patches);
    IJEPA_RETURN_IF_ERROR(learner->AccumulateShard(batch, masks, {}));
    IJEPA_RETURN_IF_ERROR(
        learner->Update({.lr = 1e-3, .weight_decay = 0.05, .ema_momentum = 0.99}));
    IJEPA_RETURN_IF_ERROR(learner->TakeResult().status());
  }
  measured.peak_bytes = peak.bytes();
  return measured;
}

// Of a rank with `config` on CPU, for steps that keep `kept` patches.
inline MemoryEstimate EstimateFor(const TrainConfig& config, ExpectedMasks kept) {
  return EstimateMemory(config.model, config.mask, kept,
                        {.batch_size = config.data.batch_size,
                         .precision = config.precision,
                         .activation_checkpointing = config.activation_checkpointing});
}

}  // namespace jepa

#endif  // IJEPA_TESTS_BENCH_LEARNER_STEPS_H_
