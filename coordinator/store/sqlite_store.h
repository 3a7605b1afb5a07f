// The default engine: one SQLite file in WAL mode, synced at every commit, with one process on it.
#ifndef IJEPA_COORDINATOR_STORE_SQLITE_STORE_H_
#define IJEPA_COORDINATOR_STORE_SQLITE_STORE_H_

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "common/file.h"
#include "coordinator/store/sqlite_connection.h"
#include "coordinator/store/sqlite_history.h"
#include "coordinator/store/store.h"
#include "coordinator/store/wal_mover.h"

namespace ijepa::coordinator {

// Holds <folder>/coordinator.db and a lock on <folder>/coordinator.lock for its life.
class SqliteStore : public Store {
 public:
  // Opens or creates the store in `folder`, and brings an older schema up to date. Returns
  // FailedPrecondition if another process holds it (the message names its pid), or if a newer
  // version wrote it; DataLoss if the file is damaged.
  static absl::StatusOr<std::unique_ptr<SqliteStore>> Open(const std::string& folder);

  absl::Status Commit(const Batch& batch) override;
  absl::StatusOr<std::vector<KeyValue>> Range(absl::string_view prefix) override;
  absl::Status Scan(absl::string_view prefix,
                    const std::function<absl::Status(KeyValue)>& take) override;
  std::map<int, int64_t> TakeForgotten() override { return std::exchange(forgotten_, {}); }
  absl::StatusOr<std::unique_ptr<History>> OpenHistory() override;
  absl::StatusOr<int64_t> Backup(const std::string& path) override;

 private:
  SqliteStore(UniqueFd lock, std::unique_ptr<Connection> connection)
      : lock_(std::move(lock)), connection_(std::move(connection)) {}
  absl::Status Prepare();
  absl::Status CheckConditions(const Batch& batch);
  absl::Status Put(const Write& write);
  absl::Status WriteAll(const Batch& batch);
  // Keeps the log short, after a commit.
  void TendLog();

  UniqueFd lock_;
  std::unique_ptr<Connection> connection_;
  Statement put_;
  Statement delete_;
  Statement get_;
  Statement range_;
  HistoryWriter history_;
  std::map<int, int64_t> forgotten_;
  // Ends before the connection.
  std::unique_ptr<WalMover> mover_;
  // Of the log after the commit before, and after the last move on this thread.
  int log_pages_ = 0;
  int log_pages_at_move_ = 0;
};

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_STORE_SQLITE_STORE_H_
