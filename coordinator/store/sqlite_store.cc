// See sqlite_store.h. Statements are prepared once; a commit is BEGIN IMMEDIATE, conditions,
// writes, COMMIT.
#include "coordinator/store/sqlite_store.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "coordinator/store/migrations.h"

namespace ijepa::coordinator {
namespace {

// The log begins anew once all of it is moved and nobody reads it. Past the first, the mover is
// asked; what it leaves, because commits went on meanwhile, is moved by the writer if it is no more
// than the second; past the third the writer moves whatever there is. In pages of 4 KiB. Fewer:
// moved more often. More: a larger file, a longer start after a crash.
constexpr int kLogPages = 1000;
constexpr int kFewPages = 128;
constexpr int kMostLogPages = 8000;

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
  IJEPA_RETURN_IF_ERROR(ijepa::WriteAll(fd.get(), absl::StrCat(getpid()), path));
  return fd;
}

// Makes a file that is there by its name durable.
absl::Status SyncFile(const std::string& path) {
  UniqueFd fd(open(path.c_str(), O_RDWR | O_CLOEXEC));
  if (!fd.valid()) return ErrnoStatus(errno, "open", path);
  if (fsync(fd.get()) != 0) return ErrnoStatus(errno, "sync", path);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<SqliteStore>> SqliteStore::Open(const std::string& folder) {
  IJEPA_RETURN_IF_ERROR(MakeFolders(folder));
  IJEPA_ASSIGN_OR_RETURN(UniqueFd lock, LockFolder(folder));
  IJEPA_ASSIGN_OR_RETURN(
      std::unique_ptr<Connection> connection,
      Connection::Open(absl::StrCat(folder, "/coordinator.db"), Connection::Mode::kWrite));
  IJEPA_RETURN_IF_ERROR(Migrate(*connection));
  auto store = absl::WrapUnique(new SqliteStore(std::move(lock), std::move(connection)));
  IJEPA_RETURN_IF_ERROR(store->Prepare());
  IJEPA_ASSIGN_OR_RETURN(store->mover_, WalMover::Start(store->connection_->path()));
  return store;
}

absl::Status SqliteStore::Prepare() {
  IJEPA_ASSIGN_OR_RETURN(
      put_, connection_->Prepare("INSERT INTO kv(key, value) VALUES(?1, ?2) "
                                 "ON CONFLICT(key) DO UPDATE SET value=excluded.value"));
  IJEPA_ASSIGN_OR_RETURN(delete_, connection_->Prepare("DELETE FROM kv WHERE key=?1"));
  IJEPA_ASSIGN_OR_RETURN(get_, connection_->Prepare("SELECT value FROM kv WHERE key=?1"));
  IJEPA_ASSIGN_OR_RETURN(
      range_, connection_->Prepare("SELECT key, value FROM kv WHERE key>=?1 ORDER BY key"));
  return history_.Prepare(*connection_);
}

absl::Status SqliteStore::CheckConditions(const Batch& batch) {
  for (const Condition& condition : batch.conditions) {
    StatementUse use(get_);
    get_.BindBytes(1, condition.key);
    const int code = get_.Step();
    if (code != SQLITE_ROW && code != SQLITE_DONE) return connection_->Error("read");
    const bool holds = code == SQLITE_ROW
                           ? condition.value.has_value() && *condition.value == get_.Bytes(0)
                           : !condition.value.has_value();
    if (!holds) return absl::AbortedError(absl::StrCat(condition.key, " was changed by another"));
  }
  return absl::OkStatus();
}

absl::Status SqliteStore::Put(const Write& write) {
  Statement& statement = write.value.has_value() ? put_ : delete_;
  StatementUse use(statement);
  statement.BindBytes(1, write.key);
  if (write.value.has_value()) statement.BindBytes(2, *write.value);
  return connection_->Run(statement);
}

absl::Status SqliteStore::WriteAll(const Batch& batch) {
  IJEPA_RETURN_IF_ERROR(CheckConditions(batch));
  for (const Write& write : batch.writes) IJEPA_RETURN_IF_ERROR(Put(write));
  return history_.Write(*connection_, batch);
}

absl::Status SqliteStore::Commit(const Batch& batch) {
  IJEPA_RETURN_IF_ERROR(connection_->Execute("BEGIN IMMEDIATE"));
  absl::Status status = WriteAll(batch);
  if (status.ok()) status = connection_->Execute("COMMIT");
  // A failed COMMIT leaves the transaction open.
  if (!status.ok()) connection_->Rollback();
  // What a batch that was not made has removed is still there.
  for (const auto& [state, count] : history_.TakePruned()) {
    if (status.ok()) forgotten_[state] += count;
  }
  if (status.ok()) TendLog();
  return status;
}

void SqliteStore::TendLog() {
  const int pages = connection_->log_pages();
  if (pages < std::exchange(log_pages_, pages)) {
    mover_->LogBegan();
    log_pages_at_move_ = 0;
  }
  // A reader may keep the log from being moved: tried again only when it has grown.
  if (pages < kLogPages || pages < log_pages_at_move_ + kFewPages) return;
  // One move at a time (wal_mover.h).
  const bool most = pages >= kMostLogPages;
  if (most) mover_->Wait();
  const std::optional<int> moved = mover_->Moved();
  if (!moved.has_value()) return;
  if (most || pages - *moved <= kFewPages) {
    log_pages_at_move_ = pages;
    // What is not moved now is moved later; the commit is made.
    connection_->MoveLog().IgnoreError();
  } else {
    mover_->Wake();
  }
}

absl::StatusOr<std::vector<KeyValue>> SqliteStore::Range(absl::string_view prefix) {
  std::vector<KeyValue> result;
  IJEPA_RETURN_IF_ERROR(Scan(prefix, [&result](KeyValue pair) {
    result.push_back(std::move(pair));
    return absl::OkStatus();
  }));
  return result;
}

absl::Status SqliteStore::Scan(absl::string_view prefix,
                               const std::function<absl::Status(KeyValue)>& take) {
  StatementUse use(range_);
  range_.BindBytes(1, prefix);
  int code;
  while ((code = range_.Step()) == SQLITE_ROW) {
    std::string key = range_.Bytes(0);
    if (key.compare(0, prefix.size(), prefix.data(), prefix.size()) != 0) return absl::OkStatus();
    IJEPA_RETURN_IF_ERROR(take({std::move(key), range_.Bytes(1)}));
  }
  return code == SQLITE_DONE ? absl::OkStatus() : connection_->Error("read");
}

absl::StatusOr<std::unique_ptr<History>> SqliteStore::OpenHistory() {
  return SqliteHistory::Open(connection_->path());
}

absl::StatusOr<int64_t> SqliteStore::Backup(const std::string& path) {
  if (access(path.c_str(), F_OK) == 0) {
    return absl::AlreadyExistsError(absl::StrCat(path, " is there; name another file"));
  }
  // A connection of its own: it may be called on any thread.
  IJEPA_ASSIGN_OR_RETURN(std::unique_ptr<Connection> reader,
                         Connection::Open(connection_->path(), Connection::Mode::kRead));
  const std::string unfinished = path + ".tmp";
  unlink(unfinished.c_str());
  IJEPA_RETURN_IF_ERROR(reader->CopyTo(unfinished));
  IJEPA_RETURN_IF_ERROR(SyncFile(unfinished));
  struct stat info;
  if (stat(unfinished.c_str(), &info) != 0) return ErrnoStatus(errno, "look at", unfinished);
  if (rename(unfinished.c_str(), path.c_str()) != 0) return ErrnoStatus(errno, "rename to", path);
  return static_cast<int64_t>(info.st_size);
}

}  // namespace ijepa::coordinator
