// See slow_ranks.h.
#include "coordinator/core/slow_ranks.h"

#include <algorithm>

namespace ijepa::coordinator {

bool WorkWindow::Take(int64_t step, double compute_seconds, absl::Duration now,
                      const SlowLimits& limits) {
  if (!reports_.empty()) {
    const Report& last = reports_.back();
    if (step <= last.step || now - last.time < limits.interval) return false;
  }
  reports_.push_back({step, compute_seconds, now});
  if (reports_.size() > kReports + 1) reports_.pop_front();
  return true;
}

std::optional<double> WorkWindow::SecondsPerStep() const {
  if (reports_.size() <= kReports) return std::nullopt;
  const Report& first = reports_.front();
  const Report& last = reports_.back();
  return (last.seconds - first.seconds) / static_cast<double>(last.step - first.step);
}

std::vector<WorkRatio> JudgeWork(const std::vector<std::optional<double>>& seconds_per_step,
                                 const std::vector<bool>& was_slow, const SlowLimits& limits) {
  std::vector<WorkRatio> result(seconds_per_step.size());
  std::vector<double> sorted;
  for (const std::optional<double>& seconds : seconds_per_step) {
    if (!seconds.has_value()) return result;
    sorted.push_back(*seconds);
  }
  if (sorted.size() < 2) return result;
  std::sort(sorted.begin(), sorted.end());
  const double median = sorted[(sorted.size() - 1) / 2];
  if (!(median > 0)) return result;
  for (size_t r = 0; r < result.size(); ++r) {
    result[r].ratio = *seconds_per_step[r] / median;
    result[r].slow = result[r].ratio > (was_slow[r] ? limits.cleared_below : limits.named_above);
  }
  return result;
}

}  // namespace ijepa::coordinator
