#include "worker/link/frame_socket.h"

#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"

namespace ijepa::link {
namespace {

constexpr size_t kMaxQueuedBytes = size_t{32} << 20;
constexpr size_t kMaxReceiveBytes = size_t{1} << 20;

}  // namespace

absl::Status FrameSocket::Send(const google::protobuf::MessageLite& message) {
  if (out_.size() - sent_ > kMaxQueuedBytes) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the peer has not read the last ", out_.size() - sent_, " bytes"));
  }
  if (sent_ > 0) {
    out_.erase(0, sent_);
    sent_ = 0;
  }
  IJEPA_RETURN_IF_ERROR(AppendFrame(message, out_));
  return Flush();
}

absl::Status FrameSocket::Flush() {
  while (wants_write()) {
    const ssize_t count =
        ::send(fd_.get(), out_.data() + sent_, out_.size() - sent_, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (count >= 0) {
      sent_ += static_cast<size_t>(count);
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      return absl::OkStatus();
    } else if (errno != EINTR) {
      return absl::UnavailableError(absl::StrCat("the peer is gone: ", std::strerror(errno)));
    }
  }
  out_.clear();
  sent_ = 0;
  return absl::OkStatus();
}

absl::Status FrameSocket::Receive() {
  char buffer[1 << 14];
  size_t total = 0;
  while (total < kMaxReceiveBytes) {
    const ssize_t count = ::recv(fd_.get(), buffer, sizeof(buffer), MSG_DONTWAIT);
    if (count > 0) {
      reader_.Append({buffer, static_cast<size_t>(count)});
      total += static_cast<size_t>(count);
    } else if (count == 0) {
      return absl::UnavailableError("the peer closed the connection");
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      return absl::OkStatus();
    } else if (errno != EINTR) {
      return absl::UnavailableError(absl::StrCat("the peer is gone: ", std::strerror(errno)));
    }
  }
  return absl::OkStatus();
}

}  // namespace ijepa::link
