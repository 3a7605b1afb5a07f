#include "worker/daemon/state_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/status_macros.h"

namespace ijepa::worker {
namespace {

// Where all may write (/tmp), another user could make the folder first, and what ranks leave and
// say would be what that user likes.
absl::Status CheckOwner(const std::string& state_dir) {
  const std::string parent = absl::StrCat(state_dir, "/..");
  struct stat above {};
  struct stat info {};
  if (::stat(parent.c_str(), &above) != 0) return ErrnoStatus(errno, "looking at", parent);
  if (::stat(state_dir.c_str(), &info) != 0) return ErrnoStatus(errno, "looking at", state_dir);
  const bool for_all = (above.st_mode & S_IWOTH) != 0;
  if (!for_all || info.st_uid == 0 || info.st_uid == ::geteuid()) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "state_dir ", state_dir, " is where all may write, and is a folder of user ", info.st_uid,
      ", while this worker runs as ", ::geteuid(), "; remove it, or choose another"));
}

}  // namespace

absl::StatusOr<UniqueFd> LockStateFolder(const std::string& state_dir) {
  IJEPA_RETURN_IF_ERROR(MakeFolders(state_dir));
  IJEPA_RETURN_IF_ERROR(CheckOwner(state_dir));
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
