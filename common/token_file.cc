// See token_file.h.
#include "common/token_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "common/status_macros.h"

namespace ijepa {
namespace {

std::string Folder() {
  const char* runtime = std::getenv("XDG_RUNTIME_DIR");
  // A batch job may have the variable of the machine that it was submitted from.
  if (runtime != nullptr && runtime[0] == '/' && access(runtime, W_OK | X_OK) == 0)
    return absl::StrCat(runtime, "/ijepa");
  return absl::StrCat("/tmp/ijepa-", getuid());
}

// Of this user, and closed to all others: /tmp is open to everybody.
absl::Status MakeFolder(const std::string& folder) {
  if (mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) {
    return ErrnoStatus(errno, "creating folder", folder);
  }
  struct stat info;
  if (lstat(folder.c_str(), &info) != 0) return ErrnoStatus(errno, "examining", folder);
  if (!S_ISDIR(info.st_mode) || info.st_uid != getuid() || (info.st_mode & 077) != 0) {
    return absl::PermissionDeniedError(
        absl::StrCat(folder,
                     " is not a folder of this user alone (mode 0700); remove it, or set "
                     "XDG_RUNTIME_DIR to one that is"));
  }
  return absl::OkStatus();
}

}  // namespace

std::string TokenFileFor(const std::string& address) {
  std::string name = address;
  // One machine by other names.
  for (absl::string_view here : {"localhost:", "0.0.0.0:", "[::]:", "[::1]:"}) {
    if (absl::StartsWith(address, here)) {
      name = absl::StrCat("127.0.0.1", address.substr(address.rfind(':')));
    }
  }
  std::replace(name.begin(), name.end(), '/', '_');
  return absl::StrCat(Folder(), "/", name, ".token");
}

absl::StatusOr<std::string> WriteTokenFile(const std::string& address, const std::string& secret) {
  IJEPA_RETURN_IF_ERROR(MakeFolder(Folder()));
  const std::string path = TokenFileFor(address);
  IJEPA_RETURN_IF_ERROR(WriteToken(path, secret));
  return path;
}

absl::Status WriteToken(const std::string& path, const std::string& secret) {
  // Made anew, so that its mode is ours whatever was there; renamed, so that it is never half
  // there.
  const std::string temporary = absl::StrCat(path, ".tmp.", getpid());
  unlink(temporary.c_str());
  UniqueFd fd(open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!fd.valid()) return ErrnoStatus(errno, "creating", temporary);
  IJEPA_RETURN_IF_ERROR(WriteAll(fd.get(), absl::StrCat(secret, "\n"), temporary));
  if (fsync(fd.get()) != 0) return ErrnoStatus(errno, "syncing", temporary);
  return RenameDurably(temporary, path);
}

absl::StatusOr<std::string> ReadTokenFile(const std::string& path) {
  struct stat info;
  if (stat(path.c_str(), &info) != 0) return ErrnoStatus(errno, "opening", path);
  if ((info.st_mode & 077) != 0) {
    return absl::PermissionDeniedError(
        absl::StrCat(path, " can be read by others; make it yours alone with chmod 600"));
  }
  IJEPA_ASSIGN_OR_RETURN(std::string text, ReadFile(path));
  absl::StripAsciiWhitespace(&text);
  return text;
}

}  // namespace ijepa
