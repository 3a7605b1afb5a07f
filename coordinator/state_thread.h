// The thread that owns the state: takes commands from a mailbox, applies what is there, commits
// once for all of it, and only then lets replies and effects out.
#ifndef IJEPA_COORDINATOR_STATE_THREAD_H_
#define IJEPA_COORDINATOR_STATE_THREAD_H_

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "coordinator/core/core.h"
#include "coordinator/outlet.h"
#include "coordinator/store/store.h"

namespace ijepa::coordinator {

// For the audit log: who asked for what. The code is that of the answer.
struct AuditLine {
  std::string user;
  std::string method;
  std::string resource;
  std::string peer;
};

// Public methods are thread-safe.
class StateThread {
 public:
  using ReplyCallback = std::function<void(absl::StatusOr<v1::Job>)>;
  using ReadCallback = std::function<void(const State*)>;

  struct Options {
    CoreOptions core;
    // Calls of clients that wait. More are refused with ResourceExhausted. Higher: longer answers
    // under load.
    size_t max_waiting_calls = 4096;
    // Time between ticks; bounds how late deadlines are seen and how often watchers see figures.
    absl::Duration tick = absl::Milliseconds(250);
    // Told of every commit: how long it took and whether it was made. May be empty.
    std::function<void(absl::Duration, bool)> on_commit;
  };

  // Reads the store, counts this start in it, and starts the thread. Everything borrowed outlives
  // the thread.
  static absl::StatusOr<std::unique_ptr<StateThread>> Start(Options options, Store& store,
                                                            Clock& clock, Outlet& outlet);
  // Stops.
  ~StateThread();

  // Calls of clients; `reply` is called once, on the state thread, after the effect is durable:
  // with the core's answer, or Unavailable if the store fails. `token` is filled in.
  // With `line`, the answer is written to the audit log in the same step.
  void Call(Command command, ReplyCallback reply, std::optional<AuditLine> line = std::nullopt);
  // What a worker said. `done` is called once its effects are out; a worker has one such message
  // waiting at a time, which bounds them.
  void Post(Command command, std::function<void()> done);
  // Calls `read` on the state thread with the durable state; with null while there is none. For our
  // own use, bounded by streams.
  void Read(ReadCallback read);
  // The same for calls of clients: ResourceExhausted, and no call of `read`, if too many wait.
  absl::Status TryRead(ReadCallback read);

  // Ends the thread. What waits is answered with Unavailable. Idempotent.
  void Stop();

  int64_t epoch() const { return epoch_; }
  size_t mailbox_depth() const { return depth_.load(std::memory_order_relaxed); }

 private:
  struct Item {
    std::variant<Command, ReadCallback> body;
    ReplyCallback reply;
    std::function<void()> done;
    // Counts as a call that waits.
    bool counted = false;
    std::optional<AuditLine> line;
  };

  StateThread(Options options, Store& store, Clock& clock, Outlet& outlet);

  absl::Status Load();
  absl::Status Reload();
  absl::Status CommitOutcomes(const std::deque<Item>& items, std::vector<Outcome>& outcomes);
  // Lines of the audit log for the answers.
  std::vector<AuditRow> AuditOf(const std::deque<Item>& items,
                                const std::vector<Outcome>& outcomes);
  absl::Status CommitBatch(Batch batch);
  Now ReadClock();
  bool Admit();
  absl::Status TooMany() const;
  void Enqueue(Item item);
  static void Refuse(Item& item, const absl::Status& why);
  void Run();
  std::deque<Item> Take(bool& tick_due);
  void Turn(std::deque<Item> items, bool tick_due);
  // Applies what is not a read to the core; what came out is gathered in order.
  std::vector<Outcome> ApplyAll(std::deque<Item>& items, bool tick_due);
  // Applies the command of a call or of a worker.
  Outcome Apply(Command& command, Now now);
  void Release(std::deque<Item>& items, std::vector<Outcome> outcomes);
  void LetOut(const Effect& effect);
  // After a failed commit: speculative state is dropped, everybody is told, the store is read anew.
  void Discard(std::deque<Item>& items, const absl::Status& why);
  void TryToHeal();
  void RefuseWhileReadOnly(std::deque<Item>& items);

  const Options options_;
  Store& store_;
  Clock& clock_;
  Outlet& outlet_;
  int64_t epoch_ = 0;
  std::string meta_;

  // State thread only.
  std::unique_ptr<Core> core_;
  // Null if the store keeps none: jobs that have ended stay in the core.
  std::unique_ptr<History> history_;
  // Of the cores before this one; revisions never go back.
  int64_t last_revision_ = 0;
  // Why the store cannot be written; OK while it can.
  absl::Status broken_;
  absl::Duration next_tick_;
  absl::Duration next_heal_;

  std::mutex mutex_;
  std::condition_variable wake_;
  // Guarded by mutex_.
  std::deque<Item> mailbox_;
  size_t waiting_calls_ = 0;
  bool stop_ = false;

  std::atomic<size_t> depth_{0};
  std::atomic<uint64_t> next_token_{1};
  std::thread thread_;
};

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_STATE_THREAD_H_
