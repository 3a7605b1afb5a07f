// When a run saves by the clock. Pure.
//
// Saving more often costs stalls, saving less often costs repeated steps after a failure. With
// stall d and expected time between failures M the sum is least near sqrt(2 d M) (Young 1974, Daly
// 2006, first order).
#ifndef IJEPA_WORKER_JEPA_SAVE_INTERVAL_H_
#define IJEPA_WORKER_JEPA_SAVE_INTERVAL_H_

#include "absl/time/time.h"
#include "worker/jepa/config.h"

namespace jepa {

// Of rank 0: the others are told with the step. All times are monotonic.
class SaveInterval {
 public:
  // Bounds of an interval that is chosen here. Below the first the storage is kept busy for
  // nothing; the second bounds the loss where failures were thought rarer than they are.
  static constexpr absl::Duration kShortest = absl::Minutes(1);
  static constexpr absl::Duration kLongest = absl::Hours(1);

  SaveInterval(const CheckpointConfig& config, absl::Duration now);

  // Whether a save is due by the clock. Never when the configuration has none.
  bool Due(absl::Duration now) const;
  // A save began at `now`; `stalled` is the time that training has waited for saves so far.
  void Saved(absl::Duration now, absl::Duration stalled);
  // Infinite when only steps count.
  absl::Duration interval() const { return interval_; }

 private:
  absl::Duration Choose(absl::Duration stall) const;

  const bool adapts_;
  const absl::Duration between_failures_;
  absl::Duration interval_;
  absl::Duration last_;
  int saves_ = 0;
};

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_SAVE_INTERVAL_H_
