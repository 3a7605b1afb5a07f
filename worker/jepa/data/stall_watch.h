// Storage that stops answering: said after a while, then a failure, never a silent wait.
#ifndef IJEPA_WORKER_JEPA_DATA_STALL_WATCH_H_
#define IJEPA_WORKER_JEPA_DATA_STALL_WATCH_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "worker/jepa/data/image_source.h"

namespace jepa {

// What each thread reads or decodes. Guarded by its owner.
class BusyThreads {
 public:
  explicit BusyThreads(size_t threads) : threads_(threads) {}
  void Begin(size_t thread, int64_t index, absl::Duration now) { threads_[thread] = {index, now}; }
  void End(size_t thread) { threads_[thread] = Busy(); }
  // The name of the image that has taken longest; "nothing" where no thread works.
  std::string Slowest(const ImageSource& source) const;

 private:
  struct Busy {
    int64_t index = -1;  // Of the source; -1: idle.
    absl::Duration since;
  };
  std::vector<Busy> threads_;
};

// Made where a wait begins, looked at while it lasts.
class StallWatch {
 public:
  // `progress`: any number that changes with every image.
  StallWatch(ijepa::Clock& clock, int64_t progress)
      : clock_(clock), progress_(progress), progress_at_(clock.Monotonic()) {}

  enum class State { kFine, kStalled, kHangs };
  // kStalled once, 30 s after the last change of `progress`; then kHangs from 120 s on.
  State Look(int64_t progress);

  // The line of the history (DATA_STALLED), and why the run ends (DeadlineExceeded).
  static std::string Line(absl::string_view slowest);
  static absl::Status Failure(absl::string_view slowest);

 private:
  ijepa::Clock& clock_;
  int64_t progress_;
  absl::Duration progress_at_;
  bool told_ = false;
};

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_DATA_STALL_WATCH_H_
