// Logs of ranks, as files that are only appended to: <folder>/<job>/g<generation>-r<rank>.log.
// Never in the database. An offset is a place in the file, so that a chunk that comes twice is
// stored once.
#ifndef IJEPA_COORDINATOR_LOG_STORE_H_
#define IJEPA_COORDINATOR_LOG_STORE_H_

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "ijepa/v1/coordinator.pb.h"

namespace ijepa::coordinator {

struct LogKey {
  std::string job;
  int64_t generation = 0;
  int rank = 0;
};

// Where a reader is: bytes read of each file. Give it back as it came.
struct LogCursor {
  bool started = false;
  // (generation, rank) -> offset.
  std::map<std::pair<int64_t, int>, int64_t> offsets;
};

struct LogQuery {
  std::string job;
  // Empty: all.
  std::vector<int> ranks;
  // 0: all.
  int64_t generation = 0;
  // Lines per rank to begin with; 0: from the start.
  int tail_lines = 0;
  // The job has ended: a last line without its end is a line, too.
  bool complete = false;
};

// Lines in order per rank, at most about 64 KiB. Empty: there is nothing past the cursor now.
struct LogPage {
  v1::LogLines lines;
  LogCursor cursor;
};

// All files are touched on one thread of its own. Public methods are thread-safe and never block;
// callbacks run on that thread. The callers bound the queue: each stream has one request under way.
class LogStore {
 public:
  struct Options {
    std::string folder;
    // A file that has grown past this takes no more; what comes is acknowledged and dropped.
    int64_t max_file_bytes = int64_t{1} << 30;
  };

  LogStore(Options options, Clock& clock);
  ~LogStore();

  // Appends `data` at `offset`. `done` gets the offset below which everything is stored: past the
  // data, or less if bytes before it are missing. Stored means handed to the kernel: it survives a
  // crash of the coordinator; a crash of the machine may cost the last seconds.
  void Append(LogKey key, int64_t offset, std::string data,
              std::function<void(absl::StatusOr<int64_t>)> done);

  // Reads on from `cursor`.
  void Read(LogQuery query, LogCursor cursor, std::function<void(absl::StatusOr<LogPage>)> done);

  // Calls `done` when something was appended to the job, or after `timeout`.
  void WaitForAppend(std::string job, absl::Duration timeout, std::function<void()> done);

  // Ends the thread after what is queued. Waiters are called. Idempotent.
  void Stop();

 private:
  struct Waiter {
    std::string job;
    absl::Duration until;
    std::function<void()> done;
  };

  // False once stopped.
  bool Enqueue(std::function<void()> work);
  void Run();
  absl::StatusOr<int64_t> AppendNow(const LogKey& key, int64_t offset, const std::string& data);
  absl::StatusOr<LogPage> ReadNow(const LogQuery& query, LogCursor cursor);
  // Takes waiters of the job, or those that are due when `job` is empty.
  std::vector<std::function<void()>> TakeWaiters(const std::string& job, bool all);
  std::string FolderOf(const std::string& job) const;

  const Options options_;
  Clock& clock_;
  std::mutex mutex_;
  std::condition_variable wake_;
  // Guarded by mutex_.
  std::deque<std::function<void()>> queue_;
  std::list<Waiter> waiters_;
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_LOG_STORE_H_
