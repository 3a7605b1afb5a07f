// See sqlite_connection.h.
#include "coordinator/store/sqlite_connection.h"

#include <sqlite3.h>

#include <utility>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"

namespace ijepa::coordinator {
namespace {

// Cached pages are few: live state is read once, at the start, and history is looked up by index.
constexpr char kWritePragmas[] =
    "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA cache_size=-4096; "
    "PRAGMA wal_autocheckpoint=0;";
constexpr char kReadPragmas[] = "PRAGMA query_only=1; PRAGMA cache_size=-8192;";
// A connection that has read nothing does not know that there is a log.
constexpr char kMovePragmas[] =
    "PRAGMA synchronous=FULL; PRAGMA cache_size=-64; PRAGMA user_version;";
constexpr int kBusyMs = 5000;

const char* PragmasOf(Connection::Mode mode) {
  switch (mode) {
    case Connection::Mode::kWrite:
      return kWritePragmas;
    case Connection::Mode::kRead:
      return kReadPragmas;
    case Connection::Mode::kMove:
      return kMovePragmas;
  }
  return "";
}

int NotePages(void* log_pages, sqlite3* /*db*/, const char* /*name*/, int pages) {
  *static_cast<int*>(log_pages) = pages;
  return SQLITE_OK;
}

}  // namespace

Statement::~Statement() { sqlite3_finalize(statement_); }

Statement::Statement(Statement&& other) noexcept
    : statement_(std::exchange(other.statement_, nullptr)) {}

Statement& Statement::operator=(Statement&& other) noexcept {
  std::swap(statement_, other.statement_);
  return *this;
}

void Statement::BindBytes(int index, absl::string_view bytes) {
  sqlite3_bind_blob64(statement_, index, bytes.data() == nullptr ? "" : bytes.data(), bytes.size(),
                      SQLITE_STATIC);
}

void Statement::BindText(int index, absl::string_view text) {
  sqlite3_bind_text64(statement_, index, text.data() == nullptr ? "" : text.data(), text.size(),
                      SQLITE_STATIC, SQLITE_UTF8);
}

void Statement::BindInt(int index, int64_t value) { sqlite3_bind_int64(statement_, index, value); }

int Statement::Step() { return sqlite3_step(statement_); }

std::string Statement::Bytes(int column) const {
  const void* data = sqlite3_column_blob(statement_, column);
  const int size = sqlite3_column_bytes(statement_, column);
  return size == 0 ? std::string() : std::string(static_cast<const char*>(data), size);
}

int64_t Statement::Int(int column) const { return sqlite3_column_int64(statement_, column); }

void Statement::Reset() {
  sqlite3_reset(statement_);
  sqlite3_clear_bindings(statement_);
}

absl::StatusOr<std::unique_ptr<Connection>> Connection::Open(const std::string& path, Mode mode) {
  sqlite3* db = nullptr;
  // A reader opens for writing, too: SQLite itself keeps the shared index of the WAL.
  const int flags =
      SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | (mode == Mode::kWrite ? SQLITE_OPEN_CREATE : 0);
  const int code = sqlite3_open_v2(path.c_str(), &db, flags, nullptr);
  auto connection = absl::WrapUnique(new Connection(db, path));
  if (code != SQLITE_OK) return connection->Error("open");
  sqlite3_busy_timeout(db, kBusyMs);
  IJEPA_RETURN_IF_ERROR(connection->Execute(PragmasOf(mode)));
  // After the pragmas, one of which takes the hook for itself.
  if (mode == Mode::kWrite) sqlite3_wal_hook(db, NotePages, &connection->log_pages_);
  return connection;
}

Connection::~Connection() { sqlite3_close(db_); }

absl::StatusOr<Statement> Connection::Prepare(absl::string_view sql) {
  Statement statement;
  if (sqlite3_prepare_v3(db_, sql.data(), static_cast<int>(sql.size()), SQLITE_PREPARE_PERSISTENT,
                         &statement.statement_, nullptr) != SQLITE_OK) {
    return Error("prepare");
  }
  return statement;
}

absl::Status Connection::Execute(const std::string& sql) {
  if (sqlite3_exec(db_, sql.c_str(), nullptr, nullptr, nullptr) != SQLITE_OK) {
    return Error("write");
  }
  return absl::OkStatus();
}

absl::Status Connection::Run(Statement& statement) {
  return statement.Step() == SQLITE_DONE ? absl::OkStatus() : Error("write");
}

void Connection::Rollback() {
  if (!sqlite3_get_autocommit(db_)) sqlite3_exec(db_, "ROLLBACK", nullptr, nullptr, nullptr);
}

int64_t Connection::Changes() const { return sqlite3_changes(db_); }

absl::StatusOr<int> Connection::Schema() {
  IJEPA_ASSIGN_OR_RETURN(Statement version, Prepare("PRAGMA user_version"));
  if (version.Step() != SQLITE_ROW) return Error("read schema of");
  return static_cast<int>(version.Int(0));
}

absl::StatusOr<LogPages> Connection::MoveLog() {
  LogPages pages;
  if (sqlite3_wal_checkpoint_v2(db_, nullptr, SQLITE_CHECKPOINT_PASSIVE, &pages.all,
                                &pages.moved) != SQLITE_OK) {
    return Error("move the log of");
  }
  return pages;
}

absl::Status Connection::CopyTo(const std::string& path) {
  sqlite3* target = nullptr;
  int code =
      sqlite3_open_v2(path.c_str(), &target,
                      SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, nullptr);
  sqlite3_backup* backup =
      code == SQLITE_OK ? sqlite3_backup_init(target, "main", db_, "main") : nullptr;
  // All pages in one step: one read transaction, so that writers cannot make it start again.
  if (backup != nullptr) {
    sqlite3_backup_step(backup, -1);
    code = sqlite3_backup_finish(backup);
  } else if (code == SQLITE_OK) {
    code = sqlite3_errcode(target);
  }
  const std::string why = sqlite3_errstr(code);
  sqlite3_close(target);
  if (code == SQLITE_OK) return absl::OkStatus();
  const std::string message = absl::StrCat("copy ", path_, " to ", path, ": ", why);
  return (code & 0xff) == SQLITE_FULL ? absl::ResourceExhaustedError(message)
                                      : absl::UnavailableError(message);
}

absl::Status Connection::Error(absl::string_view doing) const {
  const std::string message = absl::StrCat(doing, " ", path_, ": ", sqlite3_errmsg(db_));
  switch (sqlite3_errcode(db_) & 0xff) {
    case SQLITE_FULL:
      return absl::ResourceExhaustedError(message);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return absl::DataLossError(message);
    case SQLITE_PERM:
    case SQLITE_READONLY:
      return absl::PermissionDeniedError(message);
    default:
      return absl::UnavailableError(message);
  }
}

}  // namespace ijepa::coordinator
