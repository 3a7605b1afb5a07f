// Says from the series of measurements when a representation has collapsed: all patches get nearly
// the same features, the loss is small and means nothing. Pure; no LibTorch.
//
// A measurement is low or high when both lines hold:
//   low    std < std.low     and rank - 1 < the larger of (max - 1) * rank_of_max.low
//                                           and (best - 1) * rank_of_best.low
//   high   std > std.high    and rank - 1 > the same with .high
// `reports` low measurements in a row raise the alarm, `reports` high ones in a row clear it.
//
// Why both: the effective rank alone falls in healthy runs too (early training of a wide model,
// images that are alike), and the standard deviation alone is small where features are healthy but
// share a large mean. Why these defaults: docs/TELEMETRY.md has the measurements. Features are
// normalised to unit variance per patch, so the standard deviation over patches is 1 when a feature
// differs from patch to patch with mean 0, and 0 when all patches are alike; the rank runs from 1
// (all alike, however small the differences) to max, the features or the measured rows, whichever
// are fewer. The pairs are a factor of 1.5 and more apart: measurements scatter by a few per cent.
#ifndef IJEPA_WORKER_JEPA_COLLAPSE_ALARM_H_
#define IJEPA_WORKER_JEPA_COLLAPSE_ALARM_H_

#include <string>

#include "worker/jepa/config.h"
#include "worker/jepa/run_host.h"

namespace jepa {

enum class CollapseChange { kNone, kRaised, kCleared };

// Thread-compatible. Its memory is the attempt: a restart begins with an alarm that is not raised
// and with no best rank.
class CollapseAlarm {
 public:
  explicit CollapseAlarm(const CollapseConfig& config) : config_(config) {}

  // Takes the next measurement, of which effective_rank, max_effective_rank and std_mean count. One
  // that is not finite is passed over.
  CollapseChange Take(const Telemetry& measured);
  bool raised() const { return raised_; }
  // One sentence with the numbers of the newest measurement, for the job's history.
  std::string Describe() const;

 private:
  bool Low() const;
  bool High() const;

  CollapseConfig config_;
  double rank_ = 0;
  double best_rank_ = 0;
  double std_ = 0;
  int max_rank_ = 0;
  int in_row_ = 0;  // Measurements that speak for the other state.
  bool raised_ = false;
};

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_COLLAPSE_ALARM_H_
