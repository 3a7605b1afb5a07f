// Storage that can be made to hang, and a clock that does not wait for it.
#ifndef IJEPA_TESTS_DATA_SLOW_SOURCE_H_
#define IJEPA_TESTS_DATA_SLOW_SOURCE_H_

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "worker/jepa/data/image_source.h"

namespace jepa::testing {

// A thousand images of one content; counts reads, and blocks them while asked to. Thread-safe.
class SlowSource final : public ImageSource {
 public:
  explicit SlowSource(std::string file) : file_(std::move(file)) {}
  int64_t size() const override { return 1000; }
  std::string name(int64_t index) const override { return "slow" + std::to_string(index); }
  absl::Status ReadInto(int64_t, std::string& bytes) const override {
    ++reads;
    std::unique_lock<std::mutex> lock(mutex_);
    open_.wait(lock, [this] { return !blocked_; });
    bytes = file_;
    return absl::OkStatus();
  }
  void Block(bool blocked) {
    const std::lock_guard<std::mutex> lock(mutex_);
    blocked_ = blocked;
    open_.notify_all();
  }

  mutable std::atomic<int> reads{0};

 private:
  const std::string file_;
  mutable std::mutex mutex_;
  mutable std::condition_variable open_;
  bool blocked_ = false;
};

// Every look at it is half a minute later.
class FastClock final : public ijepa::Clock {
 public:
  absl::Time Now() override { return absl::UnixEpoch(); }
  absl::Duration Monotonic() override { return absl::Seconds(30) * ++looks_; }

 private:
  std::atomic<int> looks_{0};
};

}  // namespace jepa::testing

#endif  // IJEPA_TESTS_DATA_SLOW_SOURCE_H_
