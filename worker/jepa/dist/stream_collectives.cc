// See stream_collectives.h.
#include "worker/jepa/dist/stream_collectives.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"

namespace jepa {
namespace {

// The host's part of a call takes microseconds, when peers are connected: longer than a doze is
// worth.
constexpr absl::Duration kSpin = absl::Milliseconds(1);

}  // namespace

StreamCollectives::StreamCollectives(CollectiveDevice& device, StreamOptions options)
    : device_(device), options_(std::move(options)), watch_([this] { Watch(); }) {}

StreamCollectives::~StreamCollectives() {
  {
    const Lock lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  watch_.join();
}

absl::Status StreamCollectives::Give(absl::string_view name,
                                     const std::function<absl::Status()>& enqueue) {
  const absl::Status given = TryGive(name, enqueue);
  start_after_.reset();
  if (given.ok()) return given;
  Abort(given);
  return failure_.status();
}

absl::Status StreamCollectives::TryGive(absl::string_view name,
                                        const std::function<absl::Status()>& enqueue) {
  IJEPA_RETURN_IF_ERROR(failure_.status());
  IJEPA_RETURN_IF_ERROR(device_.Attach());
  Flight flight;
  flight.name = std::string(name);
  IJEPA_ASSIGN_OR_RETURN(flight.begin, TakeEvent());
  IJEPA_ASSIGN_OR_RETURN(flight.end, TakeEvent());
  IJEPA_RETURN_IF_ERROR(WaitForCaller());
  IJEPA_RETURN_IF_ERROR(device_.Record(DeviceStream::kCollectives, *flight.begin));
  IJEPA_RETURN_IF_ERROR(enqueue());
  IJEPA_RETURN_IF_ERROR(WaitForHost(name));
  IJEPA_RETURN_IF_ERROR(device_.Record(DeviceStream::kCollectives, *flight.end));
  const Lock lock(mutex_);
  flights_.push_back(std::move(flight));
  ++given_;
  changed_.notify_all();
  return absl::OkStatus();
}

absl::Status StreamCollectives::WaitForCaller() {
  if (start_after_.has_value()) {
    if (*start_after_ == nullptr) return absl::OkStatus();
    return device_.Wait(DeviceStream::kCollectives, static_cast<const Event&>(**start_after_));
  }
  if (called_ == nullptr) {
    IJEPA_ASSIGN_OR_RETURN(called_, device_.NewEvent());
  }
  IJEPA_RETURN_IF_ERROR(device_.Record(DeviceStream::kCaller, *called_));
  return device_.Wait(DeviceStream::kCollectives, *called_);
}

absl::StatusOr<std::unique_ptr<CollectiveDevice::Event>> StreamCollectives::TakeEvent() {
  {
    const Lock lock(mutex_);
    if (!spare_.empty()) {
      std::unique_ptr<Event> event = std::move(spare_.back());
      spare_.pop_back();
      return event;
    }
  }
  return device_.NewEvent();
}

absl::StatusOr<std::unique_ptr<DevicePoint>> StreamCollectives::Mark() {
  IJEPA_ASSIGN_OR_RETURN(std::unique_ptr<Event> event, device_.NewEvent());
  IJEPA_RETURN_IF_ERROR(device_.Record(DeviceStream::kCaller, *event));
  return event;
}

absl::Status StreamCollectives::Join() {
  IJEPA_RETURN_IF_ERROR(failure_.status());
  IJEPA_RETURN_IF_ERROR(device_.Attach());
  if (joined_ == nullptr) {
    IJEPA_ASSIGN_OR_RETURN(joined_, device_.NewEvent());
  }
  IJEPA_RETURN_IF_ERROR(device_.Record(DeviceStream::kCollectives, *joined_));
  return device_.Wait(DeviceStream::kCaller, *joined_);
}

absl::Status StreamCollectives::Settle(int64_t calls) {
  Lock lock(mutex_);
  while (settled_ < calls && failure_.status().ok()) changed_.wait(lock);  // Watch has deadlines.
  return failure_.status();
}

void StreamCollectives::Abort(const absl::Status& why) {
  failure_.Set(why);
  const Lock lock(mutex_);
  changed_.notify_all();  // Watch has the device let go.
}

absl::Status StreamCollectives::Late(absl::string_view name) const {
  return absl::DeadlineExceededError(absl::StrCat(options_.who, ": no ", name, " within ",
                                                  absl::FormatDuration(options_.timeout),
                                                  "; a peer hangs"));
}

absl::Status StreamCollectives::WaitForHost(absl::string_view name) {
  const absl::Duration start = options_.clock->Monotonic();
  for (;;) {
    IJEPA_ASSIGN_OR_RETURN(const bool done, device_.HostIsDone());
    IJEPA_RETURN_IF_ERROR(failure_.status());
    if (done) return absl::OkStatus();
    const absl::Duration waited = options_.clock->Monotonic() - start;
    if (waited > options_.timeout) return Late(name);
    if (waited > kSpin) options_.doze();
  }
}

void StreamCollectives::Watch() {
  const absl::Status attached = device_.Attach();
  if (!attached.ok()) failure_.Set(attached);
  bool let_go = false;
  Lock lock(mutex_);
  while (!stop_) {
    const bool failed = !failure_.status().ok();
    if (let_go || (flights_.empty() && !failed)) {
      changed_.wait(lock);
      continue;
    }
    if (failed) {
      changed_.notify_all();  // Nobody waits for what follows, which has been seen to hang.
      lock.unlock();
      device_.LetGo();
      let_go = true;
      lock.lock();
      continue;
    }
    Flight& oldest = flights_.front();
    lock.unlock();
    const absl::StatusOr<bool> done = LookAt(oldest);
    if (!done.ok()) failure_.Set(done.status());
    if (done.ok() && !*done) options_.doze();
    lock.lock();
    if (done.ok() && *done) {
      spare_.push_back(std::move(oldest.begin));
      spare_.push_back(std::move(oldest.end));
      flights_.pop_front();
      ++settled_;
      changed_.notify_all();
    }
  }
}

absl::StatusOr<bool> StreamCollectives::LookAt(Flight& flight) {
  if (!flight.deadline.has_value()) {
    IJEPA_ASSIGN_OR_RETURN(const bool begun, flight.begin->Reached());
    if (begun) flight.deadline = options_.clock->Monotonic() + options_.timeout;
  }
  bool done = false;
  if (flight.deadline.has_value()) {
    IJEPA_ASSIGN_OR_RETURN(done, flight.end->Reached());
  }
  // After the events: what reached its end because the device let go had its failure set before.
  IJEPA_RETURN_IF_ERROR(failure_.status());
  IJEPA_RETURN_IF_ERROR(device_.HostIsDone().status());
  const bool late = flight.deadline.has_value() && options_.clock->Monotonic() > *flight.deadline;
  if (!done && late) return Late(flight.name);
  return done;
}

}  // namespace jepa
