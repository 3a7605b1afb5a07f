// See slow_ranks.h.
#include "coordinator/core/slow_ranks.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace ijepa::coordinator {

bool WorkWindow::Take(int64_t step, double compute_seconds, absl::Duration now,
                      const SlowLimits& limits) {
  if (step < 0 || !(compute_seconds >= 0) || std::isinf(compute_seconds)) return false;
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

void WorkTable::Set(size_t rank, double seconds_per_step) {
  if (rank >= figures_.size()) figures_.resize(rank + 1);
  const std::optional<double> old = std::exchange(figures_[rank], seconds_per_step);
  const auto to = std::lower_bound(sorted_.begin(), sorted_.end(), seconds_per_step);
  if (!old.has_value()) {
    sorted_.insert(to, seconds_per_step);
    return;
  }
  const auto from = std::lower_bound(sorted_.begin(), sorted_.end(), *old);
  if (from < to) {
    *std::move(from + 1, to, from) = seconds_per_step;
  } else {
    std::move_backward(to, from, from + 1);
    *to = seconds_per_step;
  }
}

WorkRatio WorkTable::Compare(size_t rank, size_t ranks) const {
  if (ranks < 2 || sorted_.size() < ranks || rank >= figures_.size()) return {};
  const double median = sorted_[(sorted_.size() - 1) / 2];
  if (!(median > 0)) return {};
  const double seconds = figures_[rank].value_or(0);
  return {seconds / median, absl::Seconds(seconds - median)};
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
