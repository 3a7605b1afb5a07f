// The coordinator of a run: the real core on a memory store, driven as the state thread drives it
// (batches, outbox rule, reload after a failed commit), by virtual time and with faults.
#ifndef IJEPA_TESTS_SIM_SIM_COORDINATOR_H_
#define IJEPA_TESTS_SIM_SIM_COORDINATOR_H_

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "coordinator/core/core.h"
#include "coordinator/store/memory_store.h"
#include "event_queue.h"
#include "sabotage.h"
#include "sim_random.h"

namespace ijepa::sim {

// What becomes of the next commit.
enum class CommitFault {
  kNone,
  // The process dies before anything is written, or after all of it is.
  kCrashBefore,
  kCrashAfter,
  // The store says that it failed, and nothing is there; or all is there in spite of it.
  kFailWithoutWriting,
  kFailAfterWriting,
};

class SimCoordinator {
 public:
  using Reply = std::function<void(absl::StatusOr<v1::Job>)>;

  struct Hooks {
    // To a worker. Called only for what the coordinator lets out.
    std::function<void(uint64_t stream, const v1::CoordinatorMessage&)> send;
    std::function<void(uint64_t stream)> close;
    // All connections are gone: the process died, or its store failed.
    std::function<void()> close_all;
    // After every batch that is durable, before its effects leave.
    std::function<void()> durable;
    // The state was read from the store.
    std::function<void()> reloaded;
    // Told of every command, with its fate, for the trace of a failed run.
    std::function<void(const coordinator::Command&)> trace;
    std::function<void(const std::string&)> note;
    // Something that must not happen.
    std::function<void(const std::string&)> violation;
  };

  SimCoordinator(EventQueue& events, SimRandom& random, const coordinator::CoreOptions& options,
                 Sabotage sabotage, Hooks hooks);

  void Start();
  // The process dies at once; Start brings up the next.
  void Crash();
  // The process stands still for so long: nothing is taken, nothing ticks.
  void Stall(absl::Duration length);
  // Wall clocks move by so much; monotonic ones do not.
  void StepWallClock(absl::Duration by) { wall_offset_ += by; }
  // Of the next commit that has writes.
  void FailNextCommit(CommitFault fault) { next_fault_ = fault; }
  void HealStore() { next_fault_ = CommitFault::kNone; }

  bool up() const { return core_ != nullptr; }
  bool serving() const { return up() && broken_.ok(); }
  const coordinator::State& state() const { return core_->state(); }
  int64_t epoch() const { return epoch_; }
  coordinator::Now now() const;
  // When it last started, stood still or read its store anew.
  absl::Duration disturbed() const { return disturbed_; }
  // When it last read its store: leases count from there.
  absl::Duration reloaded() const { return reloaded_; }
  // Time that it stood still since the run began.
  absl::Duration stood_still() const { return stood_still_; }

  // Null `reply` for what workers say. A call that is lost with the process is answered with
  // Unavailable.
  void Post(coordinator::Command command, Reply reply);

 private:
  struct Item {
    coordinator::Command command;
    Reply reply;
  };

  void ScheduleTurn(absl::Duration delay);
  void ScheduleTick(int64_t life);
  void Turn();
  void Apply(coordinator::Command command);
  absl::Status Commit(std::vector<coordinator::Write> writes);
  void Release();
  void Discard(std::deque<Item>& items, const absl::Status& why);
  void TryToHeal();
  bool Reload();
  void RefuseAll(std::deque<Item>& items, const absl::Status& why);
  // For the planted bugs that live here.
  void HearTheDead();
  v1::CoordinatorMessage Spoilt(uint64_t stream, v1::CoordinatorMessage message);
  void TakeWrites(std::vector<coordinator::Write>& into);

  EventQueue& events_;
  SimRandom& random_;
  const coordinator::CoreOptions options_;
  const Sabotage sabotage_;
  const Hooks hooks_;

  coordinator::MemoryStore store_;
  std::unique_ptr<coordinator::Core> core_;
  int64_t epoch_ = 0;
  std::string meta_;
  int64_t last_revision_ = 0;
  absl::Status broken_;
  absl::Duration next_heal_;
  absl::Duration next_tick_;
  absl::Duration stalled_until_;
  absl::Duration wall_offset_;
  absl::Duration disturbed_;
  absl::Duration reloaded_;
  absl::Duration stood_still_;
  // Counts starts, so that timers of a process that died do nothing.
  int64_t life_ = 0;
  bool turn_scheduled_ = false;
  bool tick_due_ = false;
  CommitFault next_fault_ = CommitFault::kNone;
  bool crashing_ = false;
  uint64_t next_token_ = 1;
  std::deque<Item> mailbox_;
  std::vector<coordinator::Outcome> outcomes_;
  std::map<uint64_t, Reply> waiting_;
  std::map<uint64_t, v1::NodeReport> last_reports_;
  std::map<uint64_t, v1::DesiredState> last_desired_;
};

// Randomness of a run of the core that is not the core's: the wall clock begins here.
inline absl::Time SimEpoch() { return absl::FromUnixSeconds(1'700'000'000); }

}  // namespace ijepa::sim

#endif  // IJEPA_TESTS_SIM_SIM_COORDINATOR_H_
