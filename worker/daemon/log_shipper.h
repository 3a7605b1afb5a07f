// Ships a rank's log file by offsets: what is not acknowledged is sent again after a reconnection.
#ifndef IJEPA_WORKER_DAEMON_LOG_SHIPPER_H_
#define IJEPA_WORKER_DAEMON_LOG_SHIPPER_H_

#include <cstdint>
#include <optional>
#include <string>

#include "common/file.h"

namespace ijepa::worker {

// acknowledged <= sent <= size of the file. Owned by the loop thread.
class LogShipper {
 public:
  struct Chunk {
    int64_t offset = 0;
    std::string data;
  };
  // Most bytes of one chunk, and of all that wait for an acknowledgement.
  static constexpr int64_t kChunkBytes = 64 << 10;
  static constexpr int64_t kWindowBytes = 1 << 20;

  explicit LogShipper(std::string path) : path_(std::move(path)) {}

  // The next bytes to send, if there are new ones and the window has room. Not counted as sent
  // until Sent is called.
  std::optional<Chunk> Next();
  void Sent(const Chunk& chunk) { sent_ = chunk.offset + static_cast<int64_t>(chunk.data.size()); }
  // Everything below `offset` is stored. May jump forward, when an earlier worker had sent more,
  // and back, when the other side lost some.
  void Acknowledged(int64_t offset);
  // On a new connection, what was not acknowledged counts as not sent.
  void Rewind() { sent_ = acknowledged_; }
  // True when every byte that is in the file now is acknowledged.
  bool Complete();

 private:
  bool Open();
  int64_t Size();

  const std::string path_;
  UniqueFd fd_;
  int64_t sent_ = 0;
  int64_t acknowledged_ = 0;
};

}  // namespace ijepa::worker

#endif  // IJEPA_WORKER_DAEMON_LOG_SHIPPER_H_
