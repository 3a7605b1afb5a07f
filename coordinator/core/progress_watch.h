// Says when a rank that is alive has stopped getting on. A liveness signal cannot: a rank that
// waits in a collective for ever still answers.
//
// In training the limit is learnt from the rank itself, a multiple of the longest step seen, so
// that slow models are not called hung and fast ones are not waited for. Everything else (start,
// probes, the last save) has one fixed limit.
#ifndef IJEPA_COORDINATOR_CORE_PROGRESS_WATCH_H_
#define IJEPA_COORDINATOR_CORE_PROGRESS_WATCH_H_

#include <cstdint>
#include <string>

#include "absl/time/time.h"
#include "ijepa/v1/rank_link.pb.h"

namespace ijepa::coordinator {

struct WatchLimits {
  // Outside training, and in training until steps are known. Lower: slow storage is taken for a
  // hang.
  absl::Duration fixed = absl::Minutes(30);
  // In training at least this. Lower: a pause of the machine is taken for a hang.
  absl::Duration step_floor = absl::Seconds(45);
  // In training this many times the longest step seen.
  double step_factor = 5;
};

// Of one rank in one attempt. All times are monotonic.
class ProgressWatch {
 public:
  // Steps that only teach: the first ones are slow (compilation, caches, storage).
  static constexpr int64_t kExcusedSteps = 5;

  // The rank says what it does now.
  void Enter(v1::RunPhase phase, absl::Duration now);
  // The rank has finished `step`; one that is not past the last is ignored.
  void Step(int64_t step, absl::Duration now);
  // The time until now does not count: it could not be heard, or the attempt has just begun.
  void Forgive(absl::Duration now);

  absl::Duration Limit(const WatchLimits& limits) const;
  bool Overdue(const WatchLimits& limits, absl::Duration now) const;
  // Half the limit is gone: when one rank of a gang is overdue, these wait with it or are waited
  // for.
  bool Late(const WatchLimits& limits, absl::Duration now) const;
  // "in training, 52 s since step 120" for people.
  std::string Describe(absl::Duration now) const;

 private:
  v1::RunPhase phase_ = v1::RUN_PHASE_STARTING;
  int64_t step_ = 0;
  absl::Duration since_;  // Last step, phase or forgiveness.
  bool whole_ = false;    // The time since `since_` is that of whole steps.
  int64_t taught_ = 0;    // Steps that longest_ is of.
  absl::Duration longest_;
};

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_CORE_PROGRESS_WATCH_H_
