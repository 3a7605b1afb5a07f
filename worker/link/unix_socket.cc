#include "worker/link/unix_socket.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"

namespace ijepa::link {
namespace {

// One worker is attached at a time; a second place serves the next worker while the first one's
// socket is being closed.
constexpr int kBacklog = 4;

struct Target {
  UniqueFd folder;  // Keeps /proc/self/fd/N valid.
  UniqueFd socket;
  sockaddr_un address{};
};

absl::StatusOr<Target> Resolve(const std::string& folder, const std::string& name) {
  Target target;
  target.folder.Reset(::open(folder.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!target.folder.valid()) return ErrnoStatus(errno, "opening", folder);
  const std::string path = absl::StrCat("/proc/self/fd/", target.folder.get(), "/", name);
  if (path.size() >= sizeof(target.address.sun_path)) {
    return absl::InvalidArgumentError(
        absl::StrCat("socket name ", name, " is too long for a Unix socket"));
  }
  target.address.sun_family = AF_UNIX;
  std::memcpy(target.address.sun_path, path.data(), path.size());
  target.socket.Reset(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!target.socket.valid()) return ErrnoStatus(errno, "making a socket for", folder);
  return target;
}

}  // namespace

absl::StatusOr<UniqueFd> ListenUnix(const std::string& folder, const std::string& name) {
  IJEPA_ASSIGN_OR_RETURN(Target target, Resolve(folder, name));
  if (::unlinkat(target.folder.get(), name.c_str(), 0) != 0 && errno != ENOENT) {
    return ErrnoStatus(errno, "removing the old socket in", folder);
  }
  if (::bind(target.socket.get(), reinterpret_cast<const sockaddr*>(&target.address),
             sizeof(target.address)) != 0 ||
      ::listen(target.socket.get(), kBacklog) != 0) {
    return ErrnoStatus(errno, absl::StrCat("listening on ", name, " in"), folder);
  }
  return std::move(target.socket);
}

absl::StatusOr<UniqueFd> ConnectUnix(const std::string& folder, const std::string& name) {
  IJEPA_ASSIGN_OR_RETURN(Target target, Resolve(folder, name));
  int result;
  do {
    result = ::connect(target.socket.get(), reinterpret_cast<const sockaddr*>(&target.address),
                       sizeof(target.address));
  } while (result != 0 && errno == EINTR);
  if (result == 0) return std::move(target.socket);
  if (errno == ECONNREFUSED || errno == EAGAIN) {
    return absl::UnavailableError(absl::StrCat("nobody accepts on ", name, " in ", folder));
  }
  return ErrnoStatus(errno, absl::StrCat("connecting to ", name, " in"), folder);
}

}  // namespace ijepa::link
