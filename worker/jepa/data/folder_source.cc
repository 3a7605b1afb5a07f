// Image files below a folder.
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <set>
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
    if (!fd.valid()) return ReadFailure(errno, path);
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

// Lists a tree without recursion; every folder once, so that links cannot form a loop.
class TreeWalk {
 public:
  explicit TreeWalk(std::string root) : root_(std::move(root)) {}

  absl::StatusOr<FileList> Run() {
    pending_.push_back("");
    while (!pending_.empty()) {
      const std::string folder = std::move(pending_.back());
      pending_.pop_back();
      IJEPA_RETURN_IF_ERROR(List(folder));
    }
    files_.SortAndKeepLast();
    return std::move(files_);
  }

 private:
  // `folder` is "" or ends in a slash.
  absl::Status List(const std::string& folder) {
    const std::string path = absl::StrCat(root_, "/", folder);
    std::unique_ptr<DIR, int (*)(DIR*)> handle(opendir(path.c_str()), &closedir);
    if (handle == nullptr) return ijepa::ErrnoStatus(errno, "listing images", path);
    struct stat info;
    if (fstat(dirfd(handle.get()), &info) != 0) {
      return ijepa::ErrnoStatus(errno, "listing images", path);
    }
    if (!visited_.insert({info.st_dev, info.st_ino}).second) return absl::OkStatus();
    errno = 0;
    while (const dirent* entry = readdir(handle.get())) {
      Take(folder, *entry, dirfd(handle.get()));
      errno = 0;
    }
    if (errno != 0) return ijepa::ErrnoStatus(errno, "listing images", path);
    return absl::OkStatus();
  }

  void Take(const std::string& folder, const dirent& entry, int folder_fd) {
    const absl::string_view name = entry.d_name;
    if (name == "." || name == "..") return;
    unsigned char type = entry.d_type;
    if (type == DT_LNK || type == DT_UNKNOWN) {
      struct stat info;
      if (fstatat(folder_fd, entry.d_name, &info, 0) != 0) return;  // A link to nowhere.
      type = S_ISDIR(info.st_mode) ? DT_DIR : S_ISREG(info.st_mode) ? DT_REG : DT_UNKNOWN;
    }
    if (type == DT_DIR) pending_.push_back(absl::StrCat(folder, name, "/"));
    if (type == DT_REG && IsImageName(name)) files_.Add(absl::StrCat(folder, name), {});
  }

  std::string root_;
  std::vector<std::string> pending_;
  std::set<std::pair<dev_t, ino_t>> visited_;
  FileList files_;
};

}  // namespace

std::unique_ptr<ImageSource> OpenFiles(const std::string& root, FileList files) {
  return std::make_unique<FolderSource>(root, std::move(files));
}

absl::StatusOr<std::unique_ptr<ImageSource>> OpenFolder(const std::string& path) {
  IJEPA_ASSIGN_OR_RETURN(FileList files, TreeWalk(path).Run());
  return std::make_unique<FolderSource>(path, std::move(files));
}

}  // namespace jepa
