// What is done about a step whose loss or gradient is not finite. Pure; every rank asks with the
// same all-reduced values, so every rank gets the same answer.
#ifndef IJEPA_WORKER_JEPA_NON_FINITE_POLICY_H_
#define IJEPA_WORKER_JEPA_NON_FINITE_POLICY_H_

#include <cstdint>
#include <deque>
#include <string>

#include "absl/strings/string_view.h"
#include "worker/jepa/config.h"

namespace jepa {

// Counts within one attempt. Thread-compatible.
class NonFinitePolicy {
 public:
  explicit NonFinitePolicy(const FaultsConfig& config) : config_(config) {}

  // Takes a step that was not finite, `what` says how ("the loss is nan"). Steps rise from call to
  // call. kFail when config.non_finite says so or when, this one included, more than config.budget
  // were taken among the steps (step - config.window_steps, step].
  NonFiniteAction Take(int64_t step, absl::string_view what);

  // "step 9: the loss is nan; step 12: ...": those within the window, the newest few.
  std::string History() const;
  int64_t taken() const { return taken_; }

 private:
  struct Entry {
    int64_t step = 0;
    std::string what;
  };

  FaultsConfig config_;
  int64_t taken_ = 0;
  std::deque<Entry> window_;  // At most config_.budget + 1, rising steps.
};

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_NON_FINITE_POLICY_H_
