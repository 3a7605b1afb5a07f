// Faults that a rank brings upon itself, as the job's faults.inject says: how detection, restart
// and checkpoints are tried on the real programs.
//
// A fault strikes in its step of its attempt (generation), 1 unless told otherwise: a run that goes
// back before the step after the restart is not struck again.
#ifndef IJEPA_WORKER_JEPA_FAULT_INJECTOR_H_
#define IJEPA_WORKER_JEPA_FAULT_INJECTOR_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "worker/jepa/config.h"
#include "worker/jepa/run_host.h"

namespace jepa {

// What faults do to the process; tests put their own in.
struct FaultActions {
  // Sends the signal to this process.
  std::function<void(int)> raise;
  // Never returns.
  std::function<void()> hang;
  std::function<void(absl::Duration)> sleep;

  static FaultActions Real();
};

// Steps are counted from 1. Each function names its thread; nothing is shared between threads but
// what the start and end of a save order.
class FaultInjector {
 public:
  // Keeps the faults of this rank and generation.
  explicit FaultInjector(const TrainConfig& config, FaultActions actions = FaultActions::Real());

  // Training thread, before the work of `step`: kill, segfault, stop, deadlock.
  void BeforeStep(int64_t step);
  // Training thread. What the gradient of `step` is multiplied by: 1, or NaN.
  double GradientFactor(int64_t step) const;
  // Training thread. Whether AfterWork will sleep in `step`: for as long as the work takes, which
  // must be measured then.
  bool Slow(int64_t step) const { return Find(FaultKind::kSlow, step) != nullptr; }
  // Training thread, after this rank's own work of `step`, which took `took`: sleeps for slow.
  void AfterWork(int64_t step, absl::Duration took) const;

  // Training thread: the checkpoint of `step` is about to be written.
  void BeforeSave(int64_t step) { saving_step_ = step; }
  // Writing thread: the error of enospc and eio in place of a write, once.
  absl::Status BeforeOperation(absl::string_view operation);
  // Publishing thread of rank 0: torn_checkpoint cuts the end off a part, once. Returns the error
  // of that.
  absl::Status BeforeCommit(const CheckpointInfo& checkpoint);

 private:
  struct Fault {
    InjectedFault fault;
    bool struck = false;  // Of faults of checkpoints.
  };
  // The fault of `kind` that lasts in `step`; null if there is none.
  const InjectedFault* Find(FaultKind kind, int64_t step) const;
  // The first of `kind` that is due for the checkpoint of `step`; it counts as struck from now on.
  bool Strike(FaultKind kind, int64_t step);

  std::vector<Fault> faults_;
  FaultActions actions_;
  // The next save waits for the writing thread only after it has said its step.
  std::atomic<int64_t> saving_step_{0};
};

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_FAULT_INJECTOR_H_
