// Measures the health of the representation every telemetry.every_steps steps: makes the figures
// those of the job, keeps the newest for the reports, feeds the collapse alarm.
#ifndef IJEPA_WORKER_JEPA_HEALTH_WATCH_H_
#define IJEPA_WORKER_JEPA_HEALTH_WATCH_H_

#include <cstdint>
#include <optional>

#include "absl/status/status.h"
#include "worker/jepa/collapse_alarm.h"
#include "worker/jepa/config.h"
#include "worker/jepa/dist/communicator.h"
#include "worker/jepa/model/learner.h"
#include "worker/jepa/run_host.h"

namespace jepa {

// Of one attempt. Used by the training thread.
class HealthWatch {
 public:
  explicit HealthWatch(const TrainConfig& config)
      : config_(config.telemetry), rank_(config.rank), alarm_(config.telemetry.collapse) {}

  // Whether step number `step` (from 1) is measured; the same on every rank.
  bool Due(int64_t step) const {
    return config_.every_steps > 0 && step % config_.every_steps == 0;
  }

  // Reads what the learner measured in step `step` and takes the mean over ranks, by one small
  // all-reduce. Rank 0 notes COLLAPSE_SUSPECTED and COLLAPSE_CLEARED.
  absl::Status Take(int64_t step, Learner& learner, Communicator& peers, RunHost& host);

  // None before the first.
  const std::optional<Telemetry>& newest() const { return newest_; }

 private:
  TelemetryConfig config_;
  int rank_;
  CollapseAlarm alarm_;
  std::optional<Telemetry> newest_;
};

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_HEALTH_WATCH_H_
