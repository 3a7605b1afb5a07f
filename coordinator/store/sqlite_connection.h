// One connection to a SQLite file, and statements that clean up after themselves.
#ifndef IJEPA_COORDINATOR_STORE_SQLITE_CONNECTION_H_
#define IJEPA_COORDINATOR_STORE_SQLITE_CONNECTION_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

struct sqlite3;
struct sqlite3_stmt;

namespace ijepa::coordinator {

// A prepared statement. What is bound must outlive the next Reset.
class Statement {
 public:
  Statement() = default;
  ~Statement();
  Statement(Statement&& other) noexcept;
  Statement& operator=(Statement&& other) noexcept;

  void BindBytes(int index, absl::string_view bytes);
  void BindText(int index, absl::string_view text);
  void BindInt(int index, int64_t value);
  // SQLITE_ROW, SQLITE_DONE, or an error that Connection::Error words.
  int Step();
  std::string Bytes(int column) const;
  int64_t Int(int column) const;
  // Gives up locks and borrowed values; ready for the next use.
  void Reset();

 private:
  friend class Connection;
  sqlite3_stmt* statement_ = nullptr;
};

// Resets a statement when the scope ends.
class StatementUse {
 public:
  explicit StatementUse(Statement& statement) : statement_(statement) {}
  ~StatementUse() { statement_.Reset(); }
  StatementUse(const StatementUse&) = delete;
  StatementUse& operator=(const StatementUse&) = delete;

 private:
  Statement& statement_;
};

// Pages of the write-ahead log, and how many of them, from the first on, are in the file as well.
struct LogPages {
  int all = 0;
  int moved = 0;
};

// Used by one thread at a time. Outlives its statements.
class Connection {
 public:
  enum class Mode { kWrite, kRead, kMove };

  // kWrite makes the file if it is not there, in WAL mode, synced at every commit; moving the log
  // is up to the caller. kMove only moves it. Status as Error.
  static absl::StatusOr<std::unique_ptr<Connection>> Open(const std::string& path, Mode mode);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  absl::StatusOr<Statement> Prepare(absl::string_view sql);
  absl::Status Execute(const std::string& sql);
  // Runs a statement that gives no rows.
  absl::Status Run(Statement& statement);
  // Ends an open transaction without effect, if there is one.
  void Rollback();
  int64_t Changes() const;
  // The schema's number (PRAGMA user_version).
  absl::StatusOr<int> Schema();
  // Pages of the log after the newest commit of this connection.
  int log_pages() const { return log_pages_; }
  // Moves the log into the file and syncs it, as far as no reader still needs the file as it was.
  // Waits for nobody: Unavailable while another connection moves it.
  absl::StatusOr<LogPages> MoveLog();
  // Copies the file as it is now to a new file; readers and writers go on meanwhile.
  absl::Status CopyTo(const std::string& path);

  // Of the last error: ResourceExhausted (disk full), DataLoss (damaged), PermissionDenied, or
  // Unavailable.
  absl::Status Error(absl::string_view doing) const;

  const std::string& path() const { return path_; }

 private:
  Connection(sqlite3* db, std::string path) : db_(db), path_(std::move(path)) {}

  sqlite3* db_;
  const std::string path_;
  int log_pages_ = 0;
};

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_STORE_SQLITE_CONNECTION_H_
