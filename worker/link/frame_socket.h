// A connected non-blocking stream socket that carries frames, for use in a poll loop.
#ifndef IJEPA_WORKER_LINK_FRAME_SOCKET_H_
#define IJEPA_WORKER_LINK_FRAME_SOCKET_H_

#include <google/protobuf/message_lite.h>

#include <cstddef>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/file.h"
#include "worker/link/frames.h"

namespace ijepa::link {

// Owned by one thread. After any error the connection is of no more use: drop it.
class FrameSocket {
 public:
  // `fd` must be non-blocking.
  explicit FrameSocket(UniqueFd fd) : fd_(std::move(fd)) {}

  int fd() const { return fd_.get(); }
  // True while bytes wait for the socket to take them: poll for POLLOUT, then Flush.
  bool wants_write() const { return sent_ < out_.size(); }

  // Queues a message and writes what the socket takes. Returns ResourceExhausted if the message is
  // too long or the peer has not read the last 32 MiB, Unavailable if the peer is gone.
  absl::Status Send(const google::protobuf::MessageLite& message);
  // Writes what the socket takes. Never blocks.
  absl::Status Flush();
  // Reads what is there, at most 1 MiB a call. Returns Unavailable at the end of the stream: frames
  // that arrived before it can still be taken.
  absl::Status Receive();
  // Takes the next whole frame that Receive has read. Returns DataLoss on a broken peer.
  absl::StatusOr<std::optional<std::string>> Next() { return reader_.Next(); }

 private:
  UniqueFd fd_;
  std::string out_;
  size_t sent_ = 0;  // Bytes of out_ that the socket has taken.
  FrameReader reader_;
};

}  // namespace ijepa::link

#endif  // IJEPA_WORKER_LINK_FRAME_SOCKET_H_
