// ustar headers without times or owners.
#include "worker/jepa/data/tar_shards.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/file.h"
#include "common/status_macros.h"
#include "worker/jepa/data/codec.h"

namespace jepa {
namespace {

constexpr size_t kBlock = 512;
constexpr size_t kFlushAt = size_t{4} << 20;

std::string TarHeader(absl::string_view name, size_t bytes) {
  std::string header(kBlock, '\0');
  const auto put = [&header](size_t at, absl::string_view text) {
    std::memcpy(header.data() + at, text.data(), text.size());
  };
  put(0, name);
  put(100, "0000644");
  put(108, "0000000");
  put(116, "0000000");
  put(124, absl::StrFormat("%011o", bytes));
  put(136, "00000000000");
  put(148, "        ");
  header[156] = '0';
  put(257, absl::string_view("ustar\00000", 8));
  uint32_t sum = 0;
  for (const char c : header) sum += static_cast<uint8_t>(c);
  put(148, absl::StrFormat("%06o", sum));
  header[154] = '\0';
  return header;
}

// One tar after the other in a folder.
class ShardWriter {
 public:
  ShardWriter(std::string folder, int64_t shard_bytes)
      : folder_(std::move(folder)), shard_bytes_(shard_bytes) {}

  absl::Status Add(absl::string_view name, absl::string_view data) {
    if (!fd_.valid()) IJEPA_RETURN_IF_ERROR(Open());
    absl::StrAppend(&pending_, TarHeader(name, data.size()), data);
    pending_.resize((pending_.size() + kBlock - 1) / kBlock * kBlock, '\0');
    return pending_.size() >= kFlushAt ? Flush() : absl::OkStatus();
  }
  // After the last member of a sample.
  absl::Status EndSample() {
    return written_ + static_cast<int64_t>(pending_.size()) >= shard_bytes_ ? Close()
                                                                            : absl::OkStatus();
  }
  absl::Status Close() {
    if (!fd_.valid()) return absl::OkStatus();
    pending_.append(2 * kBlock, '\0');
    IJEPA_RETURN_IF_ERROR(Flush());
    if (fsync(fd_.get()) != 0) return ijepa::ErrnoStatus(errno, "syncing", path_);
    fd_.Reset();
    return absl::OkStatus();
  }
  int shards() const { return shards_; }

 private:
  absl::Status Open() {
    path_ = absl::StrCat(folder_, "/", absl::StrFormat("shard-%06d.tar", shards_++));
    fd_.Reset(open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
    if (!fd_.valid()) return ijepa::ErrnoStatus(errno, "creating", path_);
    written_ = 0;
    return absl::OkStatus();
  }
  absl::Status Flush() {
    IJEPA_RETURN_IF_ERROR(ijepa::WriteAll(fd_.get(), pending_, path_));
    written_ += static_cast<int64_t>(pending_.size());
    pending_.clear();
    return absl::OkStatus();
  }

  const std::string folder_;
  const int64_t shard_bytes_;
  std::string path_;
  ijepa::UniqueFd fd_;
  std::string pending_;
  int64_t written_ = 0;
  int shards_ = 0;
};

absl::Status WriteAll(const ImageSource& source, const PackOptions& options, ShardWriter& writer) {
  std::string bytes;
  for (int64_t i = 0; i < source.size(); ++i) {
    if (absl::Status status = source.ReadInto(i, bytes); !status.ok()) {
      return absl::Status(status.code(), absl::StrCat(source.name(i), ": ", status.message()));
    }
    const std::string key = absl::StrFormat("%09d", i);
    IJEPA_RETURN_IF_ERROR(writer.Add(key + (LooksLikePng(bytes)    ? ".png"
                                            : LooksLikeWebp(bytes) ? ".webp"
                                                                   : ".jpg"),
                                     bytes));
    const int label = options.labels != nullptr ? options.labels->values[i] : -1;
    if (label >= 0 && !options.labels->class_names.empty()) {
      IJEPA_RETURN_IF_ERROR(writer.Add(key + ".cls", options.labels->class_names[label]));
    }
    IJEPA_RETURN_IF_ERROR(writer.EndSample());
    if (options.on_progress) options.on_progress(i + 1);
  }
  return writer.Close();
}

}  // namespace

absl::StatusOr<int> PackImages(const ImageSource& source, const std::string& folder,
                               const PackOptions& options) {
  struct stat info;
  if (stat(folder.c_str(), &info) == 0) {
    return absl::AlreadyExistsError(absl::StrCat(folder, " exists; name a new folder"));
  }
  const std::string part = absl::StrCat(folder, ".part");
  IJEPA_RETURN_IF_ERROR(ijepa::RemoveTree(part));
  IJEPA_RETURN_IF_ERROR(ijepa::MakeFolders(part));
  ShardWriter writer(part, options.shard_bytes);
  absl::Status status = WriteAll(source, options, writer);
  if (status.ok()) status = ijepa::SyncFolder(part);
  if (status.ok()) status = ijepa::RenameDurably(part, folder);
  if (!status.ok()) {
    (void)ijepa::RemoveTree(part);
    return status;
  }
  return writer.shards();
}

}  // namespace jepa
