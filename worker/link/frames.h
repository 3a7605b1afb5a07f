// Frames of the link between a rank and its worker: a 4-byte little-endian length, then one
// protobuf message.
#ifndef IJEPA_WORKER_LINK_FRAMES_H_
#define IJEPA_WORKER_LINK_FRAMES_H_

#include <google/protobuf/message_lite.h>

#include <cstddef>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace ijepa::link {

// A longer frame is a broken peer, not a message.
inline constexpr size_t kMaxFrameBytes = size_t{16} << 20;

// Appends `message` as one frame to `out`. Returns ResourceExhausted, leaving `out` as it was, if
// it is longer than kMaxFrameBytes.
absl::Status AppendFrame(const google::protobuf::MessageLite& message, std::string& out);

// Cuts a byte stream into frames. Holds at most one incomplete frame beyond what was appended.
class FrameReader {
 public:
  void Append(absl::string_view bytes);
  // Takes the payload of the next whole frame; nothing while it is incomplete. Returns DataLoss,
  // from then on, if a frame announces more than kMaxFrameBytes.
  absl::StatusOr<std::optional<std::string>> Next();

 private:
  std::string buffer_;
  size_t begin_ = 0;  // Bytes of buffer_ that were taken already.
};

}  // namespace ijepa::link

#endif  // IJEPA_WORKER_LINK_FRAMES_H_
