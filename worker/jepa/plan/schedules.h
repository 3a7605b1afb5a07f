// Learning rate, weight decay and EMA momentum at every step. ijepa-spec 3; golden set e_schedules.
#ifndef IJEPA_WORKER_JEPA_PLAN_SCHEDULES_H_
#define IJEPA_WORKER_JEPA_PLAN_SCHEDULES_H_

#include <cstdint>

#include "worker/jepa/config.h"

namespace jepa {

// How many steps a run has, from sizes. steps_per_epoch = floor(ceil(images / shards) /
// batch_size), as a distributed sampler with drop_last gives.
struct RunLength {
  int64_t steps_per_epoch = 0;  // 0 when the data is smaller than one global batch.
  int64_t total_steps = 0;  // int(epochs * steps_per_epoch), at least 1 when steps_per_epoch is.
};
RunLength RunLengthFor(int64_t images, int shards, int batch_size, double epochs);

// Pure: any step in O(1), so a resume needs no replay. Steps count from 0; step s uses lr(s),
// weight_decay(s), and ema_momentum(s) after the optimizer. Differs: none, tested to 1e-12 relative
// over whole runs.
class Schedules {
 public:
  Schedules(const OptimizationConfig& config, int64_t steps_per_epoch);
  double lr(int64_t step) const;
  double weight_decay(int64_t step) const;
  double ema_momentum(int64_t step) const;

 private:
  OptimizationConfig config_;
  int64_t warmup_steps_;
  double stretched_steps_;  // ipe_scale * epochs * steps_per_epoch; lr and wd use its integer part.
};

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_PLAN_SCHEDULES_H_
