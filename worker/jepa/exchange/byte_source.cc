// pread on a file; a copy from memory.
#include "worker/jepa/exchange/byte_source.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/file.h"

namespace jepa {
namespace {

class FileBytes : public ByteSource {
 public:
  FileBytes(std::string path, ijepa::UniqueFd fd, uint64_t size)
      : path_(std::move(path)), fd_(std::move(fd)), size_(size) {}

  uint64_t size() const override { return size_; }

  absl::Status ReadAt(uint64_t offset, void* out, size_t bytes) const override {
    char* to = static_cast<char*>(out);
    while (bytes > 0) {
      const ssize_t count = ::pread(fd_.get(), to, bytes, static_cast<off_t>(offset));
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) return ijepa::ErrnoStatus(errno, "reading", path_);
      if (count == 0) return absl::DataLossError(absl::StrCat("ends at byte ", offset));
      to += count;
      offset += static_cast<uint64_t>(count);
      bytes -= static_cast<size_t>(count);
    }
    return absl::OkStatus();
  }

 private:
  const std::string path_;
  const ijepa::UniqueFd fd_;
  const uint64_t size_;
};

class MemoryBytes : public ByteSource {
 public:
  explicit MemoryBytes(std::string bytes) : bytes_(std::move(bytes)) {}

  uint64_t size() const override { return bytes_.size(); }

  absl::Status ReadAt(uint64_t offset, void* out, size_t bytes) const override {
    if (offset > bytes_.size() || bytes > bytes_.size() - offset) {
      return absl::DataLossError(absl::StrCat("ends at byte ", bytes_.size()));
    }
    if (bytes > 0) std::memcpy(out, bytes_.data() + offset, bytes);
    return absl::OkStatus();
  }

 private:
  const std::string bytes_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<ByteSource>> OpenBytes(const std::string& path) {
  // Not blocking, so that a pipe does not hold the reader.
  ijepa::UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd.valid()) return ijepa::ErrnoStatus(errno, "opening", path);
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0) return ijepa::ErrnoStatus(errno, "examining", path);
  if (!S_ISREG(info.st_mode)) {
    return absl::InvalidArgumentError(absl::StrCat(path, " is not a file"));
  }
  const auto size = static_cast<uint64_t>(info.st_size);
  return std::make_unique<FileBytes>(path, std::move(fd), size);
}

std::unique_ptr<ByteSource> BytesInMemory(std::string bytes) {
  return std::make_unique<MemoryBytes>(std::move(bytes));
}

}  // namespace jepa
