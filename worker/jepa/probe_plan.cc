// Probe k of n falls on the step floor(k * total / (n + 1)).
#include "worker/jepa/probe_plan.h"

#include <algorithm>

namespace jepa {

ProbePlan::ProbePlan(const EvalConfig& eval, int64_t total_steps)
    : enabled_(!eval.path.empty()),
      initial_done_(eval.skip_initial),
      last_done_(eval.last_probe_step),
      intermediate_(eval.intermediate),
      total_steps_(total_steps) {}

bool ProbePlan::Due(int64_t step) const {
  if (!enabled_) return false;
  if (step == 0) return !initial_done_;
  if (step <= last_done_) return false;
  if (step == total_steps_) return true;
  for (int64_t k = 1; k <= intermediate_; ++k) {
    if (step == k * total_steps_ / (intermediate_ + 1)) return true;
  }
  return false;
}

void ProbePlan::Done(int64_t step) {
  if (step == 0) initial_done_ = true;
  last_done_ = std::max(last_done_, step);
}

}  // namespace jepa
