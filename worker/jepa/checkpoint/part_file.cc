// Pieces of 1 MiB: the CRC and the copy into the page cache read the same bytes while they are in
// the second-level cache.
#include "worker/jepa/checkpoint/part_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/jepa/checkpoint/crc32c.h"

namespace jepa {
namespace {

constexpr size_t kPieceBytes = 1 << 20;
// How much is left to the kernel before write-back is started, so that the final sync is short.
constexpr int64_t kWriteBackBytes = 64 << 20;

// A file-size limit is a full disk to whoever writes.
absl::Status WriteError(int error, absl::string_view doing, const std::string& path) {
  if (error == EFBIG) {
    return absl::ResourceExhaustedError(absl::StrCat(
        doing, " ", path, ": the file is larger than the file system or ulimit -f allows"));
  }
  return ijepa::ErrnoStatus(error, doing, path);
}

absl::Status ReadAt(int fd, int64_t offset, char* out, size_t size, const std::string& path) {
  while (size > 0) {
    const ssize_t count = ::pread(fd, out, size, offset);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return ijepa::ErrnoStatus(errno, "reading", path);
    if (count == 0) return absl::DataLossError(absl::StrCat(path, " ends at byte ", offset));
    out += count;
    offset += count;
    size -= static_cast<size_t>(count);
  }
  return absl::OkStatus();
}

absl::StatusOr<ijepa::UniqueFd> OpenPart(const std::string& path) {
  // Not blocking, so that a pipe in the place of a part does not hold the reader.
  ijepa::UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (fd.valid()) return fd;
  if (errno == ENOENT) return absl::DataLossError(absl::StrCat(path, " is missing"));
  return ijepa::ErrnoStatus(errno, "opening", path);
}

}  // namespace

absl::StatusOr<PartWriter> PartWriter::Create(const std::string& path, int64_t bytes) {
  PartWriter writer;
  writer.path_ = path;
  writer.fd_.Reset(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (!writer.fd_.valid()) return ijepa::ErrnoStatus(errno, "creating", path);
  // File systems that cannot reserve say so; they notice a full disk later.
  if (bytes > 0 && ::fallocate(writer.fd_.get(), 0, 0, bytes) != 0 && errno != EOPNOTSUPP &&
      errno != ENOSYS && errno != EINTR) {
    return WriteError(errno, "reserving space for", path);
  }
  return writer;
}

// A hint; its errors come back from fsync.
void PartWriter::StartWriteBack() {
  ::sync_file_range(fd_.get(), flushing_from_, written_ - flushing_from_, SYNC_FILE_RANGE_WRITE);
  flushing_from_ = written_;
}

absl::Status PartWriter::Write(const char* data, size_t size) {
  while (size > 0) {
    const size_t piece = std::min(size, kPieceBytes);
    crc_ = ExtendCrc32c(crc_, data, piece);
    for (size_t done = 0; done < piece;) {
      const ssize_t count = ::write(fd_.get(), data + done, piece - done);
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) return WriteError(errno, "writing", path_);
      done += static_cast<size_t>(count);
    }
    data += piece;
    size -= piece;
    written_ += static_cast<int64_t>(piece);
    if (written_ - flushing_from_ >= kWriteBackBytes) StartWriteBack();
  }
  return absl::OkStatus();
}

absl::Status PartWriter::Flush() {
  IJEPA_RETURN_IF_ERROR(Write(gathered_.data(), gathered_.size()));
  // Gives the memory back: many finished parts may wait for their sync.
  gathered_ = std::vector<char>();
  return absl::OkStatus();
}

absl::Status PartWriter::Append(const void* data, size_t size) {
  const char* bytes = static_cast<const char*>(data);
  appended_ += static_cast<int64_t>(size);
  if (gathered_.size() + size > kPieceBytes) IJEPA_RETURN_IF_ERROR(Flush());
  if (size >= kPieceBytes) return Write(bytes, size);
  if (gathered_.empty()) gathered_.reserve(kPieceBytes);
  gathered_.insert(gathered_.end(), bytes, bytes + size);
  return absl::OkStatus();
}

absl::Status PartWriter::PadTo(int64_t offset) {
  const std::vector<char> zeros(static_cast<size_t>(std::max<int64_t>(0, offset - appended_)));
  return Append(zeros.data(), zeros.size());
}

absl::StatusOr<uint32_t> PartWriter::Finish() {
  IJEPA_RETURN_IF_ERROR(Flush());
  StartWriteBack();
  return crc_;
}

absl::Status PartWriter::Sync() {
  if (::fsync(fd_.get()) != 0) return WriteError(errno, "syncing", path_);
  if (::close(fd_.Release()) != 0) return WriteError(errno, "closing", path_);
  return absl::OkStatus();
}

absl::StatusOr<uint32_t> PartChecksum(const std::string& path, int64_t bytes) {
  IJEPA_ASSIGN_OR_RETURN(const ijepa::UniqueFd fd, OpenPart(path));
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0) return ijepa::ErrnoStatus(errno, "examining", path);
  if (!S_ISREG(info.st_mode) || info.st_size != bytes) {
    return absl::DataLossError(
        absl::StrCat(path, " has ", info.st_size, " bytes; the manifest says ", bytes));
  }
  ::posix_fadvise(fd.get(), 0, 0, POSIX_FADV_SEQUENTIAL);
  std::vector<char> piece(kPieceBytes);
  uint32_t crc = 0;
  for (int64_t offset = 0; offset < bytes;) {
    const auto size = static_cast<size_t>(std::min<int64_t>(bytes - offset, kPieceBytes));
    IJEPA_RETURN_IF_ERROR(ReadAt(fd.get(), offset, piece.data(), size, path));
    crc = ExtendCrc32c(crc, piece.data(), size);
    offset += static_cast<int64_t>(size);
  }
  return crc;
}

absl::Status ReadPart(const std::string& path, int64_t offset, int64_t bytes, void* out) {
  IJEPA_ASSIGN_OR_RETURN(const ijepa::UniqueFd fd, OpenPart(path));
  return ReadAt(fd.get(), offset, static_cast<char*>(out), static_cast<size_t>(bytes), path);
}

}  // namespace jepa
