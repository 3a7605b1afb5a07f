// See backups.h.
#include "coordinator/services/backups.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "common/file.h"
#include "common/log.h"
#include "common/status_macros.h"

namespace ijepa::coordinator {

Backups::~Backups() {
  if (thread_.joinable()) thread_.join();
}

void Backups::Start(const std::string& name, Done done) {
  std::unique_lock lock(mutex_);
  if (running_) {
    lock.unlock();
    return done(absl::FailedPreconditionError("a backup is under way; try again when it is done"));
  }
  running_ = true;
  // The one before has given its answer; its thread ends now.
  if (thread_.joinable()) thread_.join();
  thread_ = std::thread([this, name, done = std::move(done)] {
    absl::StatusOr<v1::BackupStoreResponse> made = Write(name);
    LogInfo("backup file=", made.ok() ? made->path() : std::string(made.status().message()));
    {
      std::lock_guard guard(mutex_);
      running_ = false;
    }
    done(std::move(made));
  });
}

absl::StatusOr<v1::BackupStoreResponse> Backups::Write(const std::string& name) {
  if (name.find('/') != std::string::npos || (!name.empty() && name[0] == '.')) {
    return absl::InvalidArgumentError(
        absl::StrCat("file_name is ", name, "; must be a name without folders"));
  }
  IJEPA_RETURN_IF_ERROR(MakeFolders(folder_));
  const std::string file =
      name.empty()
          ? absl::StrCat("coordinator-",
                         absl::FormatTime("%Y%m%d-%H%M%E3S", clock_.Now(), absl::UTCTimeZone()),
                         ".db")
          : name;
  v1::BackupStoreResponse response;
  response.set_path(absl::StrCat(folder_, "/", file));
  IJEPA_ASSIGN_OR_RETURN(const int64_t bytes, store_.Backup(response.path()));
  response.set_bytes(bytes);
  return response;
}

}  // namespace ijepa::coordinator
