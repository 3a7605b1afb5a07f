// Names ranks whose own work in a step takes longer than that of the others: in a gang all wait for
// the slowest, so that the time of steps alone does not tell who it is. Pure.
#ifndef IJEPA_COORDINATOR_CORE_SLOW_RANKS_H_
#define IJEPA_COORDINATOR_CORE_SLOW_RANKS_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "absl/time/time.h"

namespace ijepa::coordinator {

struct SlowLimits {
  // Reports of a rank nearer to each other than this count as one. Lower: noise is named.
  absl::Duration interval = absl::Seconds(2);
  // Own work over the median's at which a rank is named, and below which it is no longer.
  double named_above = 1.2;
  double cleared_below = 1.1;
  // What it must lose per step besides: of steps of milliseconds a busy machine makes any ratio.
  absl::Duration least_excess = absl::Milliseconds(5);
  // Figures in a row that must be below cleared_below: as many as a window has, so that no report
  // that named it is in the one that clears it.
  int calm_figures = 5;
  // A rank that is named again sooner is not told again.
  absl::Duration quiet = absl::Minutes(10);
};

// Of one rank in one attempt.
class WorkWindow {
 public:
  // Reports that are looked at.
  static constexpr size_t kReports = 5;

  // The rank had spent `compute_seconds` on its own work when it finished `step`; both since the
  // start of the attempt. `now` is monotonic.
  // False if it came too soon after the last that was taken, or is no step, or no time.
  bool Take(int64_t step, double compute_seconds, absl::Duration now, const SlowLimits& limits);
  // Seconds of own work per step over the last kReports; nothing before there are so many.
  std::optional<double> SecondsPerStep() const;

 private:
  struct Report {
    int64_t step = 0;
    double seconds = 0;
    absl::Duration time;
  };
  // One more than kReports: a figure is the difference of two.
  std::deque<Report> reports_;
};

struct WorkRatio {
  // Over the median's; 0 where nobody is judged.
  double ratio = 0;
  // Per step, what is above the median.
  absl::Duration excess;
};

// The newest figures of the ranks of an attempt, kept in order: a report costs two look-ups, and
// moves the figures between the rank's old one and its new one.
class WorkTable {
 public:
  // Of a rank from 0 on: finite seconds of own work per step, in place of its last.
  void Set(size_t rank, double seconds_per_step);
  // The rank's figure beside the median of `ranks`. The median of an even number is the lower of
  // the two in the middle, so that one of two ranks can be named. Nobody is judged alone, or before
  // every rank has a figure.
  WorkRatio Compare(size_t rank, size_t ranks) const;

 private:
  std::vector<std::optional<double>> figures_;
  // Those that are there, rising.
  std::vector<double> sorted_;
};

// Whether one rank is slow, from its ratios report by report, and what of that people are told:
// what comes and goes is told once.
class SlowVerdict {
 public:
  enum class News { kNone, kNamed, kCleared };

  // `now` is monotonic.
  News Take(const WorkRatio& work, absl::Duration now, const SlowLimits& limits);

  bool slow() const { return slow_; }
  // How often it became slow.
  int times() const { return times_; }

 private:
  bool slow_ = false;
  int times_ = 0;
  // Figures in a row below cleared_below, while it is slow.
  int calm_ = 0;
  // When people were last told that it is slow, and whether they think it is.
  std::optional<absl::Duration> told_at_;
  bool told_slow_ = false;
};

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_CORE_SLOW_RANKS_H_
