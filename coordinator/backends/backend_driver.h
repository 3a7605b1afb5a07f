// Keeps one backend as the core wants it: a thread that compares the allocations that are wanted
// with those that the backend has, and tells the core what it sees.
#ifndef IJEPA_COORDINATOR_BACKENDS_BACKEND_DRIVER_H_
#define IJEPA_COORDINATOR_BACKENDS_BACKEND_DRIVER_H_

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "coordinator/backends/backend.h"
#include "coordinator/core/command.h"

namespace ijepa::coordinator {

// An allocation as the core has it written down.
struct WantedAllocation {
  AllocationRequest request;
  // Empty: the backend has not acknowledged it, as far as the core knows.
  std::string handle;
  // It is only to end; its workers were told to.
  bool released = false;
};

// The machines of a backend when they were last looked at.
struct NodesSeen {
  std::vector<BackendNode> nodes;
  // InfinitePast: not yet.
  absl::Time look_time = absl::InfinitePast();
  // Why the newest look failed; `nodes` are those of an earlier one then. Empty: it did not.
  std::string error;
};

// Public methods are thread-safe.
class BackendDriver {
 public:
  struct Options {
    // Between looks at the backend, and the same while something is asked for, starts or ends.
    absl::Duration poll = absl::Seconds(10);
    absl::Duration busy_poll = absl::Seconds(1);
    // Longest time of one call.
    absl::Duration call = absl::Seconds(20);
    // What is released, or not wanted at all, may end by itself for so long before it is killed.
    absl::Duration release_grace = absl::Seconds(30);
    // What was acknowledged and is not listed any more counts as gone after this.
    absl::Duration absent_after = absl::Minutes(5);
    // Between looks at its machines, which are for people only.
    absl::Duration nodes_poll = absl::Seconds(30);
  };

  // Takes what it learns; called on the driver's thread, must not block.
  using Report = std::function<void(Command)>;

  BackendDriver(std::unique_ptr<Backend> backend, Options options, Clock& clock);
  ~BackendDriver();

  // What is wanted before this is kept until then.
  void Start(Report report);
  // Ends the thread and the call that is under way. Nothing is killed: the next coordinator on
  // the same data folder finds everything again. Idempotent.
  void Stop();

  // The wish for this job replaces the last one; none: what the backend has for it is to end.
  void Want(const std::string& uid, std::optional<WantedAllocation> wanted);
  // All wishes at once.
  void Reset(std::map<std::string, WantedAllocation> wanted);

  NodesSeen Nodes() const;

  const Backend& backend() const { return *backend_; }

 private:
  struct Track;
  struct Round;

  void Run();
  Round TakeRound();
  void Ask(const WantedAllocation& wanted, Track& track);
  void Look(const Round& round);
  void LookAtNodes();
  void Compare(const WantedAllocation& wanted, const ObservedAllocation* seen, Track& track);
  void CompareReleased(const WantedAllocation& wanted, const ObservedAllocation* seen,
                       Track& track);
  void EndUnwanted(const ObservedAllocation& seen, Track& track);
  void TellUnreachable(const Round& round, const absl::Status& why);
  void Tell(Track& track, const std::string& what, Command command);
  void WaitFor(absl::Duration most);

  const std::unique_ptr<Backend> backend_;
  const Options options_;
  Clock& clock_;
  Report report_;

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  // Guarded by mutex_. By the uid of the job.
  std::map<std::string, WantedAllocation> wanted_;
  NodesSeen nodes_;
  bool changed_ = false;
  // Since the last round; nothing of before it counts.
  bool reset_ = false;
  bool stop_ = false;

  // Of the thread. By name; forgotten when neither wanted nor listed.
  std::map<std::string, Track> tracks_;
  absl::Duration next_look_ = -absl::InfiniteDuration();
  absl::Duration next_look_at_nodes_ = -absl::InfiniteDuration();
  // Something was asked for or released a short while ago, or is to be killed.
  absl::Duration busy_until_ = -absl::InfiniteDuration();
  bool reachable_ = true;

  std::thread thread_;
};

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_BACKENDS_BACKEND_DRIVER_H_
