// A device of two streams that does what it was given when the test lets it: late, never, or with
// an error. Work has names; what was done stands in a log.
#ifndef IJEPA_TESTS_FAKES_STREAM_DEVICE_H_
#define IJEPA_TESTS_FAKES_STREAM_DEVICE_H_

#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "worker/jepa/dist/stream_collectives.h"

namespace jepa {

// Thread-safe.
class StreamDevice : public CollectiveDevice {
 public:
  // What the calling thread has the device do, in its own stream or in the collectives'.
  void Give(DeviceStream stream, const std::string& work) {
    const Lock lock(mutex_);
    queues_[Index(stream)].push_back({.work = work});
    Advance();
  }
  absl::Status Collective(const std::string& work) {
    Give(DeviceStream::kCollectives, work);
    return absl::OkStatus();
  }

  // Work is done once its turn has come and it is allowed.
  void Allow(const std::string& work) {
    const Lock lock(mutex_);
    allowed_.insert(work);
    Advance();
  }
  void AllowAll() {
    const Lock lock(mutex_);
    all_allowed_ = true;
    Advance();
  }
  // From now on HostIsDone says so; `work` is allowed in the same moment.
  void FailOnTheWay(const absl::Status& error, const std::string& work) {
    const Lock lock(mutex_);
    transport_error_ = error;
    allowed_.insert(work);
    Advance();
  }
  void FailEvents(const absl::Status& error) {
    const Lock lock(mutex_);
    event_error_ = error;
  }
  void SetHostIsDone(bool done) {
    const Lock lock(mutex_);
    host_is_done_ = done;
  }
  // Returns when an event was looked at `looks` times more.
  void AwaitLooks(int looks) {
    Lock lock(mutex_);
    const int64_t until = looks_ + looks;
    EXPECT_TRUE(changed_.wait_for(lock, kLong, [&] { return looks_ >= until; })) << "nobody looks";
  }
  // Returns when the log has `entries`.
  void AwaitDone(size_t entries) {
    Lock lock(mutex_);
    EXPECT_TRUE(changed_.wait_for(lock, kLong, [&] { return done_.size() >= entries; }));
  }

  std::vector<std::string> done() const {
    const Lock lock(mutex_);
    return done_;
  }
  int events() const {
    const Lock lock(mutex_);
    return events_;
  }
  // Threads that asked whether the device had come to somewhere.
  std::set<std::thread::id> lookers() const {
    const Lock lock(mutex_);
    return lookers_;
  }

  // Called at the beginning of LetGo.
  std::function<void()> on_let_go = [] {};

  absl::Status Attach() override { return absl::OkStatus(); }
  absl::StatusOr<std::unique_ptr<Event>> NewEvent() override {
    const Lock lock(mutex_);
    ++events_;
    return std::make_unique<Mark>(*this);
  }
  absl::Status Record(DeviceStream stream, Event& event) override {
    const Lock lock(mutex_);
    auto& place = static_cast<Mark&>(event).place;
    place = std::make_shared<bool>(false);
    queues_[Index(stream)].push_back({.recorded = place});
    Advance();
    return absl::OkStatus();
  }
  // Of the place where the event is now: moving it later changes nothing, as on a GPU.
  absl::Status Wait(DeviceStream stream, const Event& event) override {
    const Lock lock(mutex_);
    const auto& place = static_cast<const Mark&>(event).place;
    if (place != nullptr) queues_[Index(stream)].push_back({.awaited = place});
    Advance();
    return absl::OkStatus();
  }
  absl::StatusOr<bool> HostIsDone() override {
    const Lock lock(mutex_);
    if (!transport_error_.ok()) return transport_error_;
    return host_is_done_;
  }
  // Kernels end, with garbage.
  void LetGo() override {
    on_let_go();
    const Lock lock(mutex_);
    done_.push_back("let go");
    gone_ = true;
    Advance();
  }

 private:
  using Lock = std::unique_lock<std::mutex>;
  static constexpr std::chrono::seconds kLong{20};  // Ends a test that would hang.
  struct Item {
    std::string work = {};
    std::shared_ptr<bool> recorded = nullptr;
    std::shared_ptr<bool> awaited = nullptr;
  };
  struct Mark : Event {
    explicit Mark(StreamDevice& owner) : device(owner) {}
    absl::StatusOr<bool> Reached() const override { return device.Look(*this); }
    StreamDevice& device;
    std::shared_ptr<bool> place;
  };

  static size_t Index(DeviceStream stream) { return stream == DeviceStream::kCaller ? 0 : 1; }

  absl::StatusOr<bool> Look(const Mark& mark) {
    const Lock lock(mutex_);
    ++looks_;
    lookers_.insert(std::this_thread::get_id());
    changed_.notify_all();
    if (!event_error_.ok()) return event_error_;
    return mark.place != nullptr && *mark.place;
  }

  bool MayEnd(const Item& item, size_t stream) const {
    if (item.awaited != nullptr) return *item.awaited;
    if (item.work.empty()) return true;
    return all_allowed_ || allowed_.count(item.work) > 0 || (gone_ && stream == 1);
  }

  // As far as both streams can go.
  void Advance() {
    changed_.notify_all();
    for (bool moved = true; moved;) {
      moved = false;
      for (size_t stream = 0; stream < 2; ++stream) {
        std::deque<Item>& queue = queues_[stream];
        while (!queue.empty() && MayEnd(queue.front(), stream)) {
          const Item item = std::move(queue.front());
          queue.pop_front();
          if (item.recorded != nullptr) *item.recorded = true;
          const bool garbage = gone_ && stream == 1;
          if (!item.work.empty()) done_.push_back(absl::StrCat(garbage ? "bad " : "", item.work));
          moved = true;
        }
      }
    }
  }

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Item> queues_[2];
  std::set<std::string> allowed_;
  bool all_allowed_ = false;
  bool gone_ = false;
  bool host_is_done_ = true;
  absl::Status transport_error_;
  absl::Status event_error_;
  std::vector<std::string> done_;
  int64_t looks_ = 0;
  int events_ = 0;
  std::set<std::thread::id> lookers_;
};

// Time that goes on when the test says so, or by `per_look` whenever somebody looks.
class SteppedClock : public ijepa::Clock {
 public:
  explicit SteppedClock(absl::Duration per_look = absl::ZeroDuration()) : per_look_(per_look) {}
  absl::Time Now() override { return absl::UnixEpoch() + Monotonic(); }
  absl::Duration Monotonic() override {
    const std::lock_guard<std::mutex> lock(mutex_);
    return now_ += per_look_;
  }
  void Advance(absl::Duration time) {
    const std::lock_guard<std::mutex> lock(mutex_);
    now_ += time;
  }

 private:
  const absl::Duration per_look_;
  std::mutex mutex_;
  absl::Duration now_;
};

}  // namespace jepa

#endif  // IJEPA_TESTS_FAKES_STREAM_DEVICE_H_
