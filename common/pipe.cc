#include "common/pipe.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

namespace ijepa {

absl::StatusOr<Pipe> MakePipe() {
  int fds[2];
  if (::pipe2(fds, O_CLOEXEC) != 0) return ErrnoStatus(errno, "making", "a pipe");
  return Pipe{UniqueFd(fds[0]), UniqueFd(fds[1])};
}

}  // namespace ijepa
