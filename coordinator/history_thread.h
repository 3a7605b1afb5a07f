// The thread that reads history for clients, so that a look at the past never holds up the present.
#ifndef IJEPA_COORDINATOR_HISTORY_THREAD_H_
#define IJEPA_COORDINATOR_HISTORY_THREAD_H_

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "coordinator/store/store.h"
#include "ijepa/v1/storage.pb.h"

namespace ijepa::coordinator {

// The job in history; nothing if there is none. DataLoss if its record cannot be read.
absl::StatusOr<std::optional<v1::SealedJob>> FindPast(History& history, const std::string& id);
absl::StatusOr<std::optional<v1::SealedJob>> FindPastByUid(History& history,
                                                           const std::string& uid);

// Thread-safe.
class HistoryThread {
 public:
  // Given the reader, or why there is none: the thread was stopped, or the store keeps no history.
  using Task = std::function<void(absl::StatusOr<History*>)>;

  // `store` outlives the thread.
  static absl::StatusOr<std::unique_ptr<HistoryThread>> Start(Store& store);
  // Stops.
  ~HistoryThread();

  // Runs `task` on the thread, in order. ResourceExhausted, and the task is not run, if too many
  // wait.
  absl::Status TryRead(Task task);
  // The same without a bound: for our own use, bounded by streams.
  void Read(Task task);

  // Ends the thread; what waits is given Unavailable. Idempotent.
  void Stop();

 private:
  explicit HistoryThread(std::unique_ptr<History> history) : history_(std::move(history)) {}
  void Run();
  bool Enqueue(Task task, bool bounded);

  // Of the thread.
  std::unique_ptr<History> history_;

  std::mutex mutex_;
  std::condition_variable wake_;
  // Guarded by mutex_.
  std::deque<Task> tasks_;
  bool stop_ = false;

  std::thread thread_;
};

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_HISTORY_THREAD_H_
