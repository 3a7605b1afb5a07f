// At which steps a run is probed. Pure.
#ifndef IJEPA_WORKER_JEPA_PROBE_PLAN_H_
#define IJEPA_WORKER_JEPA_PROBE_PLAN_H_

#include <cstdint>

#include "worker/jepa/config.h"

namespace jepa {

// Step 0 (random initialisation), EvalConfig::intermediate evenly spaced steps, and the last one;
// none of them twice over the attempts of a job. Thread-compatible.
class ProbePlan {
 public:
  // Nothing is ever due when eval.path is empty.
  ProbePlan(const EvalConfig& eval, int64_t total_steps);
  // Whether the state after `step` finished steps is to be probed now.
  bool Due(int64_t step) const;
  // The probe of `step` is reported.
  void Done(int64_t step);

 private:
  bool enabled_;
  bool initial_done_;
  int64_t last_done_;
  int64_t intermediate_;
  int64_t total_steps_;
};

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_PROBE_PLAN_H_
