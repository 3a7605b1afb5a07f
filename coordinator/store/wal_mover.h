// The thread that moves what commits left in SQLite's write-ahead log into the database file, so
// that they do not wait for it: a commit appends to the log and syncs that alone.
#ifndef IJEPA_COORDINATOR_STORE_WAL_MOVER_H_
#define IJEPA_COORDINATOR_STORE_WAL_MOVER_H_

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "absl/status/statusor.h"
#include "coordinator/store/sqlite_connection.h"

namespace ijepa::coordinator {

// Thread-safe. The writer decides when (SqliteStore::TendLog): it alone begins the log anew, at its
// next write once all of it is moved.
//
// Before 3.51.3 SQLite loses pages where a move begins on a log of which all is moved while a
// commit begins it anew (sqlite.org/wal.html, the WAL-reset bug). So there is one move at a time,
// of this thread or the writer's, and Wake comes right behind a commit that wrote something.
class WalMover {
 public:
  // Of the database at `path`, on a connection of its own.
  static absl::StatusOr<std::unique_ptr<WalMover>> Start(const std::string& path);
  // Waits for a move that is under way.
  ~WalMover();
  WalMover(const WalMover&) = delete;
  WalMover& operator=(const WalMover&) = delete;

  // Has it move what the log holds now. Does not block.
  void Wake();
  // Returns when it is not at work: a move takes as long as the file's disk needs.
  void Wait();
  // Pages of the log, from its first on, that are known to be moved; nothing while it is at work.
  std::optional<int> Moved() const;
  // The log has begun anew: nothing of it is moved.
  void LogBegan();

 private:
  explicit WalMover(std::unique_ptr<Connection> connection) : connection_(std::move(connection)) {}
  void Run();

  // Of the thread.
  std::unique_ptr<Connection> connection_;

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable idle_;
  // Guarded by mutex_. wanted_ from Wake until the move is over.
  bool wanted_ = false;
  bool stop_ = false;
  int moved_ = 0;
  // Counts logs.
  int64_t log_ = 0;

  std::thread thread_;
};

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_STORE_WAL_MOVER_H_
