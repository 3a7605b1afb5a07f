// Virtual time: things happen in order of their times, at equal times in order of their arrival.
#ifndef IJEPA_TESTS_SIM_EVENT_QUEUE_H_
#define IJEPA_TESTS_SIM_EVENT_QUEUE_H_

#include <algorithm>
#include <cstdint>
#include <functional>
#include <queue>
#include <utility>
#include <vector>

#include "absl/time/time.h"

namespace ijepa::sim {

// Not thread-safe.
class EventQueue {
 public:
  absl::Duration now() const { return now_; }

  void After(absl::Duration delay, std::function<void()> body) {
    At(now_ + delay, std::move(body));
  }
  void At(absl::Duration time, std::function<void()> body) {
    events_.push({std::max(time, now_), ++sequence_, std::move(body)});
  }
  // Moves time to the next event and runs it; false if there is none.
  bool RunNext() {
    if (events_.empty()) return false;
    // The queue gives const access only, because order must not change; the body is not part of it.
    Event event = std::move(const_cast<Event&>(events_.top()));
    events_.pop();
    now_ = event.time;
    event.body();
    return true;
  }

 private:
  struct Event {
    absl::Duration time;
    uint64_t sequence = 0;
    std::function<void()> body;
    bool operator<(const Event& other) const {
      return std::pair(other.time, other.sequence) < std::pair(time, sequence);
    }
  };
  std::priority_queue<Event> events_;
  absl::Duration now_;
  uint64_t sequence_ = 0;
};

}  // namespace ijepa::sim

#endif  // IJEPA_TESTS_SIM_EVENT_QUEUE_H_
