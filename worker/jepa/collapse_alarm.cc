// See collapse_alarm.h.
#include "worker/jepa/collapse_alarm.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_format.h"

namespace jepa {

bool CollapseAlarm::Low() const {
  const double share = std::max((max_rank_ - 1) * config_.rank_of_max.low,
                                (best_rank_ - 1) * config_.rank_of_best.low);
  return std_ < config_.std.low && rank_ - 1 < share;
}

bool CollapseAlarm::High() const {
  const double share = std::max((max_rank_ - 1) * config_.rank_of_max.high,
                                (best_rank_ - 1) * config_.rank_of_best.high);
  return std_ > config_.std.high && rank_ - 1 > share;
}

CollapseChange CollapseAlarm::Take(const Telemetry& measured) {
  if (!std::isfinite(measured.effective_rank) || !std::isfinite(measured.std_mean)) {
    return CollapseChange::kNone;
  }
  rank_ = measured.effective_rank;
  std_ = measured.std_mean;
  max_rank_ = measured.max_effective_rank;
  best_rank_ = std::max(best_rank_, rank_);
  in_row_ = (raised_ ? High() : Low()) ? in_row_ + 1 : 0;
  if (in_row_ < config_.reports) return CollapseChange::kNone;
  in_row_ = 0;
  raised_ = !raised_;
  return raised_ ? CollapseChange::kRaised : CollapseChange::kCleared;
}

std::string CollapseAlarm::Describe() const {
  return absl::StrFormat(
      "effective rank %.3g of at most %d (best %.3g), standard deviation over patches %.3g", rank_,
      max_rank_, best_rank_, std_);
}

}  // namespace jepa
