// The default engine: one SQLite file in WAL mode, synced at every commit, with one process on it.
#ifndef IJEPA_COORDINATOR_STORE_SQLITE_STORE_H_
#define IJEPA_COORDINATOR_STORE_SQLITE_STORE_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/file.h"
#include "coordinator/store/store.h"

struct sqlite3;
struct sqlite3_stmt;

namespace ijepa::coordinator {

// Holds <folder>/coordinator.db and a lock on <folder>/coordinator.lock for its life.
class SqliteStore : public Store {
 public:
  // Opens or creates the store in `folder`. Returns FailedPrecondition if another process holds it
  // (the message names its pid), or if a newer version wrote it; DataLoss if the file is damaged.
  static absl::StatusOr<std::unique_ptr<SqliteStore>> Open(const std::string& folder);
  ~SqliteStore() override;

  absl::Status Commit(const Batch& batch) override;
  absl::StatusOr<std::vector<KeyValue>> Range(absl::string_view prefix) override;

 private:
  SqliteStore(UniqueFd lock, sqlite3* db, std::string path);
  absl::Status Initialize();
  absl::Status Execute(const char* sql);
  absl::StatusOr<sqlite3_stmt*> Prepare(const char* sql);
  absl::Status CheckConditions(const Batch& batch);
  absl::Status Put(const Write& write);
  // The status of the connection's last error.
  absl::Status Error(absl::string_view doing);

  UniqueFd lock_;
  sqlite3* db_;
  std::string path_;
  sqlite3_stmt* put_ = nullptr;
  sqlite3_stmt* delete_ = nullptr;
  sqlite3_stmt* get_ = nullptr;
  sqlite3_stmt* range_ = nullptr;
};

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_STORE_SQLITE_STORE_H_
