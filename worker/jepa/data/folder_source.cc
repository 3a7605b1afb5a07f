// Folders, and image files that stand for themselves.
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "common/status_macros.h"
#include "worker/jepa/data/file_list.h"
#include "worker/jepa/data/sources.h"

namespace jepa {
namespace {

bool IsLink(const std::string& path) {
  struct stat info;
  return lstat(path.c_str(), &info) == 0 && S_ISLNK(info.st_mode);
}

class FolderSource final : public ImageSource {
 public:
  FolderSource(std::string root, FileList files)
      : root_(std::move(root)), files_(std::move(files)) {}

  int64_t size() const override { return files_.size(); }
  std::string name(int64_t index) const override { return std::string(files_.name(index)); }

  absl::Status ReadInto(int64_t index, std::string& bytes) const override {
    const absl::string_view name = files_.name(index);
    const std::string path = name[0] == '/' ? std::string(name) : absl::StrCat(root_, "/", name);
    const ijepa::UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    if (!fd.valid()) {
      const int error = errno;
      if (error == ENOENT && IsLink(path)) {
        return absl::DataLossError(absl::StrCat(path, " is a link to a file that is not there"));
      }
      return ReadFailure(error, path);
    }
    struct stat info;
    if (fstat(fd.get(), &info) != 0) return ReadFailure(errno, path);
    if (!S_ISREG(info.st_mode)) return absl::DataLossError(absl::StrCat(path, " is not a file"));
    if (info.st_size > kMaxImageBytes) {
      return absl::ResourceExhaustedError(absl::StrCat(
          path, " has ", info.st_size, " bytes; at most ", kMaxImageBytes, " are read"));
    }
    bytes.resize(static_cast<size_t>(info.st_size));
    size_t done = 0;
    while (done < bytes.size()) {
      const ssize_t got = read(fd.get(), bytes.data() + done, bytes.size() - done);
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return ReadFailure(errno, path);
      if (got == 0) break;  // It became shorter; the decoder judges what is there.
      done += static_cast<size_t>(got);
    }
    bytes.resize(done);
    return absl::OkStatus();
  }

 private:
  std::string root_;
  FileList files_;
};

// Sorts one entry of a folder in.
void Take(const dirent& entry, int folder_fd, FolderListing& listing) {
  const absl::string_view name = entry.d_name;
  if (name == "." || name == "..") return;
  unsigned char type = entry.d_type;
  if (type == DT_LNK || type == DT_UNKNOWN) {
    struct stat info;
    // A link to nowhere stays what it is.
    if (fstatat(folder_fd, entry.d_name, &info, 0) == 0 && S_ISDIR(info.st_mode)) type = DT_DIR;
  }
  if (type == DT_DIR) {
    listing.folders.emplace_back(name);
  } else if (IsImageName(name)) {
    listing.images.emplace_back(name);  // Whether it can be read shows when it is.
  }
}

}  // namespace

std::unique_ptr<ImageSource> OpenFiles(const std::string& root, FileList files) {
  return std::make_unique<FolderSource>(root, std::move(files));
}

absl::Status ListFolder(const std::string& path, FolderListing& listing) {
  std::unique_ptr<DIR, int (*)(DIR*)> handle(opendir(path.c_str()), &closedir);
  if (handle == nullptr) return ijepa::ErrnoStatus(errno, "listing images", path);
  const int fd = dirfd(handle.get());
  struct stat info;
  if (fstat(fd, &info) != 0) return ijepa::ErrnoStatus(errno, "listing images", path);
  listing.stamp = StampOf(path, info);  // Before the names: a change meanwhile shows later.
  listing.device = info.st_dev;
  listing.inode = info.st_ino;
  errno = 0;
  while (const dirent* entry = readdir(handle.get())) {
    Take(*entry, fd, listing);
    errno = 0;
  }
  return errno == 0 ? absl::OkStatus() : ijepa::ErrnoStatus(errno, "listing images", path);
}

}  // namespace jepa
