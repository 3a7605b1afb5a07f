// See sqlite_store.h. Statements are prepared once; a commit is BEGIN IMMEDIATE, conditions,
// writes, COMMIT.
#include "coordinator/store/sqlite_store.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"

namespace ijepa::coordinator {
namespace {

// Schema number, in PRAGMA user_version. 1: table kv(key, value).
constexpr int kSchema = 1;
// Pages cached, in KiB: live state is read once, at the start.
constexpr char kPragmas[] =
    "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA cache_size=-2048; "
    "PRAGMA wal_autocheckpoint=1000;";

// Takes the folder's lock, or says who has it.
absl::StatusOr<UniqueFd> LockFolder(const std::string& folder) {
  const std::string path = folder + "/coordinator.lock";
  UniqueFd fd(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  if (!fd.valid()) return ErrnoStatus(errno, "open", path);
  if (flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return ErrnoStatus(errno, "lock", path);
    const absl::StatusOr<std::string> pid = ReadFile(path);
    return absl::FailedPreconditionError(absl::StrCat(
        "data folder ", folder, " is in use by the coordinator with pid ",
        pid.ok() && !pid->empty() ? *pid : "unknown", "; stop it or use another --data-dir"));
  }
  if (ftruncate(fd.get(), 0) != 0) return ErrnoStatus(errno, "truncate", path);
  IJEPA_RETURN_IF_ERROR(WriteAll(fd.get(), absl::StrCat(getpid()), path));
  return fd;
}

void Bind(sqlite3_stmt* statement, int index, absl::string_view bytes) {
  sqlite3_bind_blob64(statement, index, bytes.data() == nullptr ? "" : bytes.data(), bytes.size(),
                      SQLITE_STATIC);
}

std::string Column(sqlite3_stmt* statement, int index) {
  const void* data = sqlite3_column_blob(statement, index);
  const int size = sqlite3_column_bytes(statement, index);
  return size == 0 ? std::string() : std::string(static_cast<const char*>(data), size);
}

// Resets a statement when the scope ends, so that it holds no lock and no borrowed bytes.
class Reset {
 public:
  explicit Reset(sqlite3_stmt* statement) : statement_(statement) {}
  ~Reset() {
    sqlite3_reset(statement_);
    sqlite3_clear_bindings(statement_);
  }
  Reset(const Reset&) = delete;
  Reset& operator=(const Reset&) = delete;

 private:
  sqlite3_stmt* statement_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<SqliteStore>> SqliteStore::Open(const std::string& folder) {
  IJEPA_RETURN_IF_ERROR(MakeFolders(folder));
  IJEPA_ASSIGN_OR_RETURN(UniqueFd lock, LockFolder(folder));
  const std::string path = folder + "/coordinator.db";
  sqlite3* db = nullptr;
  const int code = sqlite3_open_v2(
      path.c_str(), &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, nullptr);
  auto store = absl::WrapUnique(new SqliteStore(std::move(lock), db, path));
  if (code != SQLITE_OK) return store->Error("open");
  IJEPA_RETURN_IF_ERROR(store->Initialize());
  return store;
}

SqliteStore::SqliteStore(UniqueFd lock, sqlite3* db, std::string path)
    : lock_(std::move(lock)), db_(db), path_(std::move(path)) {}

SqliteStore::~SqliteStore() {
  for (sqlite3_stmt* statement : {put_, delete_, get_, range_}) sqlite3_finalize(statement);
  sqlite3_close(db_);
}

absl::Status SqliteStore::Error(absl::string_view doing) {
  const int code = sqlite3_errcode(db_) & 0xff;
  const std::string message = absl::StrCat(doing, " ", path_, ": ", sqlite3_errmsg(db_));
  switch (code) {
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

absl::Status SqliteStore::Execute(const char* sql) {
  if (sqlite3_exec(db_, sql, nullptr, nullptr, nullptr) != SQLITE_OK) return Error("write");
  return absl::OkStatus();
}

absl::StatusOr<sqlite3_stmt*> SqliteStore::Prepare(const char* sql) {
  sqlite3_stmt* statement = nullptr;
  if (sqlite3_prepare_v3(db_, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, nullptr) !=
      SQLITE_OK) {
    return Error("prepare");
  }
  return statement;
}

absl::Status SqliteStore::Initialize() {
  sqlite3_busy_timeout(db_, 5000);
  IJEPA_RETURN_IF_ERROR(Execute(kPragmas));
  IJEPA_ASSIGN_OR_RETURN(sqlite3_stmt * version, Prepare("PRAGMA user_version"));
  const int schema = sqlite3_step(version) == SQLITE_ROW ? sqlite3_column_int(version, 0) : -1;
  sqlite3_finalize(version);
  if (schema < 0) return Error("read schema of");
  if (schema > kSchema) {
    return absl::FailedPreconditionError(
        absl::StrCat(path_, " has schema ", schema, "; this version knows schemas up to ", kSchema,
                     "; use the version of the coordinator that wrote it"));
  }
  if (schema == 0) {
    IJEPA_RETURN_IF_ERROR(
        Execute("BEGIN IMMEDIATE;"
                "CREATE TABLE kv(key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;"
                "PRAGMA user_version=1; COMMIT;"));
  }
  IJEPA_ASSIGN_OR_RETURN(put_, Prepare("INSERT INTO kv(key, value) VALUES(?1, ?2) "
                                       "ON CONFLICT(key) DO UPDATE SET value=excluded.value"));
  IJEPA_ASSIGN_OR_RETURN(delete_, Prepare("DELETE FROM kv WHERE key=?1"));
  IJEPA_ASSIGN_OR_RETURN(get_, Prepare("SELECT value FROM kv WHERE key=?1"));
  IJEPA_ASSIGN_OR_RETURN(range_, Prepare("SELECT key, value FROM kv WHERE key>=?1 ORDER BY key"));
  return absl::OkStatus();
}

absl::Status SqliteStore::CheckConditions(const Batch& batch) {
  for (const Condition& condition : batch.conditions) {
    Reset reset(get_);
    Bind(get_, 1, condition.key);
    const int code = sqlite3_step(get_);
    if (code != SQLITE_ROW && code != SQLITE_DONE) return Error("read");
    const bool holds = code == SQLITE_ROW
                           ? condition.value.has_value() && *condition.value == Column(get_, 0)
                           : !condition.value.has_value();
    if (!holds) return absl::AbortedError(absl::StrCat(condition.key, " was changed by another"));
  }
  return absl::OkStatus();
}

absl::Status SqliteStore::Put(const Write& write) {
  sqlite3_stmt* statement = write.value.has_value() ? put_ : delete_;
  Reset reset(statement);
  Bind(statement, 1, write.key);
  if (write.value.has_value()) Bind(statement, 2, *write.value);
  if (sqlite3_step(statement) != SQLITE_DONE) return Error("write");
  return absl::OkStatus();
}

absl::Status SqliteStore::Commit(const Batch& batch) {
  IJEPA_RETURN_IF_ERROR(Execute("BEGIN IMMEDIATE"));
  absl::Status status = CheckConditions(batch);
  for (const Write& write : batch.writes) {
    if (!status.ok()) break;
    status = Put(write);
  }
  if (status.ok()) status = Execute("COMMIT");
  // A failed COMMIT leaves the transaction open; a rollback that fails means that there is none.
  if (!status.ok() && !sqlite3_get_autocommit(db_)) {
    sqlite3_exec(db_, "ROLLBACK", nullptr, nullptr, nullptr);
  }
  return status;
}

absl::StatusOr<std::vector<KeyValue>> SqliteStore::Range(absl::string_view prefix) {
  Reset reset(range_);
  Bind(range_, 1, prefix);
  std::vector<KeyValue> result;
  int code;
  while ((code = sqlite3_step(range_)) == SQLITE_ROW) {
    std::string key = Column(range_, 0);
    if (key.compare(0, prefix.size(), prefix.data(), prefix.size()) != 0) return result;
    result.push_back({std::move(key), Column(range_, 1)});
  }
  if (code != SQLITE_DONE) return Error("read");
  return result;
}

}  // namespace ijepa::coordinator
