#include "worker/link/frames.h"

#include <cstdint>

#include "absl/strings/str_cat.h"

namespace ijepa::link {
namespace {

constexpr size_t kHeaderBytes = 4;

}  // namespace

absl::Status AppendFrame(const google::protobuf::MessageLite& message, std::string& out) {
  const size_t size = message.ByteSizeLong();
  if (size > kMaxFrameBytes) {
    return absl::ResourceExhaustedError(absl::StrCat("a ", message.GetTypeName(), " of ", size,
                                                     " bytes does not fit into a frame of ",
                                                     kMaxFrameBytes));
  }
  for (size_t i = 0; i < kHeaderBytes; ++i) {
    out.push_back(static_cast<char>((size >> (8 * i)) & 0xff));
  }
  message.AppendToString(&out);
  return absl::OkStatus();
}

void FrameReader::Append(absl::string_view bytes) {
  if (begin_ > 0) {
    buffer_.erase(0, begin_);
    begin_ = 0;
  }
  buffer_.append(bytes.data(), bytes.size());
}

absl::StatusOr<std::optional<std::string>> FrameReader::Next() {
  if (buffer_.size() - begin_ < kHeaderBytes) return std::optional<std::string>();
  size_t size = 0;
  for (size_t i = 0; i < kHeaderBytes; ++i) {
    size |= static_cast<size_t>(static_cast<uint8_t>(buffer_[begin_ + i])) << (8 * i);
  }
  if (size > kMaxFrameBytes) {
    return absl::DataLossError(
        absl::StrCat("a frame announces ", size, " bytes; at most ", kMaxFrameBytes));
  }
  if (buffer_.size() - begin_ - kHeaderBytes < size) return std::optional<std::string>();
  std::optional<std::string> payload = buffer_.substr(begin_ + kHeaderBytes, size);
  begin_ += kHeaderBytes + size;
  return payload;
}

}  // namespace ijepa::link
