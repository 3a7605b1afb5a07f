// Collectives that the host leaves to a device: who waits for whom, and what happens when a peer
// does not come. Knows neither CUDA nor NCCL.
//
//   callers' stream    ... makes a gradient . point ... | Join . uses the sum ...
//   collectives'       ................ waits . begin . collective . end .........
//   watching thread    looks at begin, end, errors and the clock; settles, or fails
//
// The host gives both streams work and goes on: of all functions here only Settle waits for the
// device, and WaitForHost for the part of a call that is the host's own. A failure is set before
// the device is made to let go: what it lets go of leaves garbage, and work that waited for it goes
// on with that. So whatever comes of a call is good only where Settle of that call returned OK.
#ifndef IJEPA_WORKER_JEPA_DIST_STREAM_COLLECTIVES_H_
#define IJEPA_WORKER_JEPA_DIST_STREAM_COLLECTIVES_H_

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "worker/jepa/dist/communicator.h"
#include "worker/jepa/dist/failure.h"

namespace jepa {

// Work in order: what the calling thread gives the device, and the collectives.
enum class DeviceStream { kCaller, kCollectives };

// What a device and its transport can do. Thread-safe; no function waits for the device.
class CollectiveDevice {
 public:
  // A mark in a stream, which may be moved to another place when nobody looks at it.
  class Event : public DevicePoint {
   public:
    // Whether the device has come to it.
    virtual absl::StatusOr<bool> Reached() const = 0;
  };

  virtual ~CollectiveDevice() = default;
  // Before the other calls of a thread.
  virtual absl::Status Attach() = 0;
  virtual absl::StatusOr<std::unique_ptr<Event>> NewEvent() = 0;
  // `event` marks the end of what `stream` has been given.
  virtual absl::Status Record(DeviceStream stream, Event& event) = 0;
  // What `stream` is given from now on begins when the device has come to `event`.
  virtual absl::Status Wait(DeviceStream stream, const Event& event) = 0;
  // Whether the transport has given the device all that it was asked for; only then may the stream
  // of the collectives be given anything else. Any error of it since its start, those of the
  // network on the device's way included.
  virtual absl::StatusOr<bool> HostIsDone() = 0;
  // Leaves the peers: whatever waits for them on the device ends, with garbage. Once.
  virtual void LetGo() = 0;
};

struct StreamOptions {
  std::string who;         // For messages: "rank 0 of 2".
  absl::Duration timeout;  // Of the host's part of a call, and of the device's from its begin on.
  ijepa::Clock* clock = &ijepa::Clock::Real();
  std::function<void()> doze;  // Between two looks at the device. Longer: errors are seen later.
};

// Calls are made by one thread at a time, but for Settle, Abort and status, which are anybody's.
class StreamCollectives {
 public:
  // The device must outlive it.
  StreamCollectives(CollectiveDevice& device, StreamOptions options);
  // Ends the watch. What is not settled stays with the device.
  ~StreamCollectives();
  StreamCollectives(const StreamCollectives&) = delete;
  StreamCollectives& operator=(const StreamCollectives&) = delete;

  // As Communicator::StartAfter, for the next Give.
  void StartAfter(const DevicePoint* point) { start_after_ = point; }
  // Gives the device the collective `name`, which `enqueue` puts into the stream of the collectives
  // by calls of the transport. It begins after what the calling thread has given the device, unless
  // StartAfter said otherwise. Returns when the device has it.
  absl::Status Give(absl::string_view name, const std::function<absl::Status()>& enqueue);
  // Within enqueue, between two calls of the transport or before other work for the stream.
  absl::Status WaitForHost(absl::string_view name);
  // As of Communicator.
  absl::StatusOr<std::unique_ptr<DevicePoint>> Mark();
  absl::Status Join();
  int64_t given() const { return given_; }
  absl::Status Settle(int64_t calls);
  void Abort(const absl::Status& why);
  absl::Status status() const { return failure_.status(); }

 private:
  using Event = CollectiveDevice::Event;
  using Lock = std::unique_lock<std::mutex>;
  struct Flight {
    std::string name;
    std::unique_ptr<Event> begin;
    std::unique_ptr<Event> end;
    std::optional<absl::Duration> deadline;  // Once it has begun.
  };

  absl::Status TryGive(absl::string_view name, const std::function<absl::Status()>& enqueue);
  absl::Status WaitForCaller();
  absl::StatusOr<std::unique_ptr<Event>> TakeEvent();
  absl::Status Late(absl::string_view name) const;
  // Alone lets go, and only once there is a failure.
  void Watch();
  // Whether the device has done `flight`, well; or why it never will.
  absl::StatusOr<bool> LookAt(Flight& flight);

  CollectiveDevice& device_;
  const StreamOptions options_;
  Failure failure_;
  // Of the calling thread.
  std::optional<const DevicePoint*> start_after_;
  std::unique_ptr<Event> called_;
  std::unique_ptr<Event> joined_;
  int64_t given_ = 0;

  std::mutex mutex_;  // Guards what follows.
  std::condition_variable changed_;
  bool stop_ = false;
  int64_t settled_ = 0;
  // Given and not settled: those of two steps at most, as the loop settles a step before it gives
  // the one after the next. Only the watching thread takes the front away.
  std::deque<Flight> flights_;
  std::vector<std::unique_ptr<Event>> spare_;  // To make one may wait for locks of the driver.

  std::thread watch_;  // Last: starts when all else is made.
};

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_DIST_STREAM_COLLECTIVES_H_
