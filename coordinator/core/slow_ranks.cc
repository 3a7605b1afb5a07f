// See slow_ranks.h.
#include "coordinator/core/slow_ranks.h"

#include <algorithm>
#include <utility>

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

std::vector<WorkRatio> CompareWork(const std::vector<std::optional<double>>& seconds_per_step) {
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
    result[r].excess = absl::Seconds(*seconds_per_step[r] - median);
  }
  return result;
}

SlowVerdict::News SlowVerdict::Take(const WorkRatio& work, absl::Duration now,
                                    const SlowLimits& limits) {
  if (!slow_) {
    if (work.ratio <= limits.named_above || work.excess < limits.least_excess) return News::kNone;
    slow_ = true;
    ++times_;
    calm_ = 0;
    if (told_at_.has_value() && now - *told_at_ < limits.quiet) return News::kNone;
    told_at_ = now;
    told_slow_ = true;
    return News::kNamed;
  }
  const bool calm = work.ratio < limits.cleared_below || work.excess < limits.least_excess;
  calm_ = calm ? calm_ + 1 : 0;
  if (calm_ < limits.calm_figures) return News::kNone;
  slow_ = false;
  return std::exchange(told_slow_, false) ? News::kCleared : News::kNone;
}

}  // namespace ijepa::coordinator
