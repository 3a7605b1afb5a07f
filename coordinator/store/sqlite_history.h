// History in the SQLite file (migrations.cc, step 2).
#ifndef IJEPA_COORDINATOR_STORE_SQLITE_HISTORY_H_
#define IJEPA_COORDINATOR_STORE_SQLITE_HISTORY_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "coordinator/store/history.h"
#include "coordinator/store/sqlite_connection.h"
#include "coordinator/store/store.h"

namespace ijepa::coordinator {

// The part of a commit that goes to history. Used within a transaction of the connection, which
// outlives it.
class HistoryWriter {
 public:
  absl::Status Prepare(Connection& connection);
  absl::Status Write(Connection& connection, const Batch& batch);
  // Jobs by state that were removed for their age since the last call.
  std::map<int, int64_t> TakePruned() { return std::exchange(pruned_, {}); }

 private:
  absl::Status Seal(Connection& connection, const SealedRow& row);
  absl::Status Remove(Connection& connection, int64_t number);
  absl::Status Prune(Connection& connection, const Batch::Prune& prune);

  Statement job_;
  Statement record_;
  Statement label_;
  Statement drop_job_;
  Statement drop_record_;
  Statement drop_labels_;
  Statement old_jobs_;
  Statement audit_;
  Statement drop_audit_;
  std::map<int, int64_t> pruned_;
};

// A reader on a connection of its own.
class SqliteHistory : public History {
 public:
  // `path`: of the file of a store.
  static absl::StatusOr<std::unique_ptr<SqliteHistory>> Open(const std::string& path);

  absl::StatusOr<std::optional<std::string>> Find(const std::string& id) override;
  absl::StatusOr<std::optional<std::string>> FindByUid(const std::string& uid) override;
  absl::StatusOr<std::vector<BriefRow>> List(const HistoryQuery& query) override;
  absl::StatusOr<HistoryCounts> Count() override;
  absl::StatusOr<std::vector<std::pair<int64_t, std::string>>> Audit(int64_t below,
                                                                     const std::string& user,
                                                                     int limit) override;

 private:
  explicit SqliteHistory(std::unique_ptr<Connection> connection)
      : connection_(std::move(connection)) {}
  absl::StatusOr<std::optional<std::string>> FindBy(Statement& statement, const std::string& key);
  // Numbers in one state, in the order of the query, at most its limit.
  absl::Status AddNumbers(const HistoryQuery& query, int state, std::vector<int64_t>& numbers);

  std::unique_ptr<Connection> connection_;
  Statement find_;
  Statement find_by_uid_;
  Statement brief_;
};

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_STORE_SQLITE_HISTORY_H_
