// A list of numbers in the order of their last use; see tar_files.h.
#include "worker/jepa/data/tar_files.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/jepa/data/sources.h"

namespace jepa {

absl::Status ReadTarMember(int fd, FileList::Place place, absl::string_view name,
                           std::string& bytes) {
  if (place.bytes > static_cast<uint64_t>(kMaxImageBytes)) {
    return absl::ResourceExhaustedError(
        absl::StrCat(name, " has ", place.bytes, " bytes; at most ", kMaxImageBytes, " are read"));
  }
  bytes.resize(place.bytes);
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t got = pread(fd, bytes.data() + done, bytes.size() - done,
                              static_cast<off_t>(place.offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ReadFailure(errno, name);
    if (got == 0) return absl::DataLossError(absl::StrCat(name, ": the tar became shorter"));
    done += static_cast<size_t>(got);
  }
  return absl::OkStatus();
}

size_t TarFiles::DefaultOpen() {
  constexpr rlim_t kMost = 256;
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return kMost;
  return static_cast<size_t>(std::clamp<rlim_t>(limit.rlim_cur / 4, 1, kMost));
}

TarFiles::TarFiles(size_t max_open) : max_open_(std::max<size_t>(max_open, 1)) {}

absl::StatusOr<size_t> TarFiles::Add(const std::string& path) {
  Tar tar{path, {}, nullptr};
  ijepa::UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return ijepa::ErrnoStatus(errno, "opening", path);
  struct stat info;
  if (fstat(fd.get(), &info) != 0) return ijepa::ErrnoStatus(errno, "opening", path);
  tar.identity = {info.st_dev, info.st_ino};
  tars_.push_back(std::move(tar));
  Keep(tars_.size() - 1, std::make_shared<const ijepa::UniqueFd>(std::move(fd)));
  return tars_.size() - 1;
}

absl::Status TarFiles::Read(size_t tar, FileList::Place place, absl::string_view name,
                            std::string& bytes) const {
  SharedFd fd = TakeOpen(tar);
  if (fd == nullptr) {
    IJEPA_ASSIGN_OR_RETURN(fd, OpenAgain(tar));
    Keep(tar, fd);
  }
  return ReadTarMember(fd->get(), place, name, bytes);
}

TarFiles::SharedFd TarFiles::TakeOpen(size_t tar) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (tars_[tar].fd == nullptr) return nullptr;
  open_.remove(tar);
  open_.push_front(tar);
  return tars_[tar].fd;
}

absl::StatusOr<TarFiles::SharedFd> TarFiles::OpenAgain(size_t tar) const {
  const std::string& path = tars_[tar].path;
  ijepa::UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd.valid()) return ReadFailure(errno, path);
  struct stat info;
  if (fstat(fd.get(), &info) != 0) return ReadFailure(errno, path);
  if (Identity{info.st_dev, info.st_ino} == tars_[tar].identity) {
    return std::make_shared<const ijepa::UniqueFd>(std::move(fd));
  }
  return absl::DataLossError(
      absl::StrCat(path, " is another file than the one that was listed; start the job again"));
}

void TarFiles::Keep(size_t tar, SharedFd fd) const {
  SharedFd closed;  // After the lock: closing may wait for storage.
  const std::lock_guard<std::mutex> lock(mutex_);
  open_.remove(tar);  // Another thread may have opened it too.
  if (open_.size() >= max_open_) {
    closed = std::move(tars_[open_.back()].fd);
    open_.pop_back();
  }
  open_.push_front(tar);
  tars_[tar].fd = std::move(fd);
}

}  // namespace jepa
