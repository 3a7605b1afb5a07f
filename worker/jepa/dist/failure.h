// Why a communicator works no more.
#ifndef IJEPA_WORKER_JEPA_DIST_FAILURE_H_
#define IJEPA_WORKER_JEPA_DIST_FAILURE_H_

#include <mutex>

#include "absl/status/status.h"
#include "common/check.h"

namespace jepa {

// OK until Set; then the first reason, for ever. Thread-safe.
class Failure {
 public:
  absl::Status status() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return status_;
  }

  // Keeps `why`, which is not OK, unless there is a reason already.
  void Set(const absl::Status& why) {
    IJEPA_CHECK(!why.ok());
    const std::lock_guard<std::mutex> lock(mutex_);
    if (status_.ok()) status_ = why;
  }

 private:
  mutable std::mutex mutex_;
  absl::Status status_;
};

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_DIST_FAILURE_H_
