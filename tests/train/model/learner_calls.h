// Calls of a learner that must not fail.
#ifndef IJEPA_TESTS_TRAIN_MODEL_LEARNER_CALLS_H_
#define IJEPA_TESTS_TRAIN_MODEL_LEARNER_CALLS_H_

#include <gtest/gtest.h>

#include "worker/jepa/model/learner.h"

namespace jepa::testing {

// Adds a shard as AccumulateShard does, its loss with weight 1. Returns that loss, from the scalars
// behind the gradient; the learner's memory is the host's.
inline double AddShard(Learner& learner, const Batch& batch, const MaskBatch& masks, double scale) {
  const FloatBuffer buffer = learner.gradient();
  const float* loss =
      buffer.data + buffer.count - kStepScalars + static_cast<int>(StepScalar::kLoss);
  const float before = *loss;
  const absl::Status added = learner.AccumulateShard(batch, masks, {.gradient = scale, .loss = 1});
  EXPECT_TRUE(added.ok()) << added;
  return static_cast<double>(*loss) - before;
}

// Ends a step; returns what it came to.
inline StepResult EndStep(Learner& learner, const UpdateRates& rates) {
  const absl::Status updated = learner.Update(rates);
  EXPECT_TRUE(updated.ok()) << updated;
  const absl::StatusOr<StepResult> result = learner.TakeResult();
  EXPECT_TRUE(result.ok()) << result.status();
  return result.value_or(StepResult());
}

}  // namespace jepa::testing

#endif  // IJEPA_TESTS_TRAIN_MODEL_LEARNER_CALLS_H_
