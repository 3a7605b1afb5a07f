#include "worker/daemon/state_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/status_macros.h"

namespace ijepa::worker {

absl::StatusOr<UniqueFd> LockStateFolder(const std::string& state_dir) {
  IJEPA_RETURN_IF_ERROR(MakeFolders(state_dir));
  const std::string path = absl::StrCat(state_dir, "/lock");
  UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  if (!fd.valid()) return ErrnoStatus(errno, "opening", path);
  if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return ErrnoStatus(errno, "locking", path);
    const absl::StatusOr<std::string> owner = ReadFile(path);
    return absl::FailedPreconditionError(
        absl::StrCat("state_dir ", state_dir, " is in use by the worker with pid ",
                     owner.ok() ? absl::StripAsciiWhitespace(*owner) : "unknown",
                     "; stop that one, or give this one a folder of its own with --state-dir"));
  }
  if (::ftruncate(fd.get(), 0) != 0) return ErrnoStatus(errno, "writing", path);
  IJEPA_RETURN_IF_ERROR(WriteAll(fd.get(), absl::StrCat(::getpid(), "\n"), path));
  return fd;
}

}  // namespace ijepa::worker
