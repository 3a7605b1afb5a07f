// See progress_watch.h.
#include "coordinator/core/progress_watch.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace ijepa::coordinator {
namespace {

const char* Words(v1::RunPhase phase) {
  switch (phase) {
    case v1::RUN_PHASE_TRAINING:
      return "in training";
    case v1::RUN_PHASE_PROBING:
      return "in a probe";
    case v1::RUN_PHASE_SAVING:
      return "in the last save";
    default:
      return "at the start";
  }
}

}  // namespace

void ProgressWatch::Enter(v1::RunPhase phase, absl::Duration now) {
  phase_ = phase;
  Forgive(now);
  whole_ = true;
}

void ProgressWatch::Step(int64_t step, absl::Duration now) {
  if (step <= step_) return;
  // A restarted coordinator does not hear again what was acknowledged.
  if (phase_ == v1::RUN_PHASE_STARTING) phase_ = v1::RUN_PHASE_TRAINING;
  if (whole_ && phase_ == v1::RUN_PHASE_TRAINING) {
    longest_ = std::max(longest_, now - since_);
    taught_ += step_ == 0 ? 1 : step - step_;  // A resumed run does not begin at 0.
  }
  step_ = step;
  since_ = now;
  whole_ = true;
}

void ProgressWatch::Forgive(absl::Duration now) {
  since_ = now;
  whole_ = false;
}

absl::Duration ProgressWatch::Limit(const WatchLimits& limits) const {
  if (phase_ != v1::RUN_PHASE_TRAINING || taught_ < kExcusedSteps) return limits.fixed;
  return std::min(limits.fixed, std::max(limits.step_floor, limits.step_factor * longest_));
}

bool ProgressWatch::Overdue(const WatchLimits& limits, absl::Duration now) const {
  return now - since_ >= Limit(limits);
}

bool ProgressWatch::Late(const WatchLimits& limits, absl::Duration now) const {
  return now - since_ >= Limit(limits) / 2;
}

std::string ProgressWatch::Describe(absl::Duration now) const {
  return absl::StrCat(Words(phase_), ", ", absl::ToInt64Seconds(now - since_), " s since step ",
                      step_);
}

}  // namespace ijepa::coordinator
