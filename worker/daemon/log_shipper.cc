#include "worker/daemon/log_shipper.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

namespace ijepa::worker {

bool LogShipper::Open() {
  if (!fd_.valid()) fd_.Reset(::open(path_.c_str(), O_RDONLY | O_CLOEXEC));
  return fd_.valid();
}

int64_t LogShipper::Size() {
  struct stat info {};
  if (!Open() || ::fstat(fd_.get(), &info) != 0) return 0;
  return info.st_size;
}

std::optional<LogShipper::Chunk> LogShipper::Next() {
  const int64_t room = kWindowBytes - (sent_ - acknowledged_);
  const int64_t count = std::min({Size() - sent_, kChunkBytes, room});
  if (count <= 0) return std::nullopt;
  Chunk chunk;
  chunk.offset = sent_;
  chunk.data.resize(static_cast<size_t>(count));
  const ssize_t read = ::pread(fd_.get(), chunk.data.data(), chunk.data.size(), sent_);
  if (read <= 0) return std::nullopt;
  chunk.data.resize(static_cast<size_t>(read));
  return chunk;
}

void LogShipper::Acknowledged(int64_t offset) {
  if (offset < 0) return;
  // An offset past the end of the file acknowledges what there is.
  offset = std::min(offset, Size());
  if (offset < acknowledged_) sent_ = offset;
  acknowledged_ = offset;
  sent_ = std::max(sent_, acknowledged_);
}

bool LogShipper::Complete() { return acknowledged_ >= Size(); }

}  // namespace ijepa::worker
