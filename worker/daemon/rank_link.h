// The worker's end of the link to one rank: connects, connects again, passes messages.
#ifndef IJEPA_WORKER_DAEMON_RANK_LINK_H_
#define IJEPA_WORKER_DAEMON_RANK_LINK_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "ijepa/v1/rank_link.pb.h"
#include "worker/link/frame_socket.h"

namespace ijepa::worker {

// Owned by the loop thread. Never blocks.
class RankLink {
 public:
  explicit RankLink(std::string folder) : folder_(std::move(folder)) {}

  // Connects if it is time to, writes and reads what is possible. `now` is monotonic. Returns the
  // rank's messages in order.
  std::vector<v1::FromRank> Service(absl::Duration now);
  // False if there is no connection or it broke: the message is lost.
  bool Send(const v1::ToRank& message);

  bool connected() const { return socket_.has_value(); }
  // Counts connections, so that state can be told anew on each.
  int connections() const { return connections_; }
  // For poll: -1 when not connected.
  int fd() const { return socket_ ? socket_->fd() : -1; }
  bool wants_write() const { return socket_ && socket_->wants_write(); }
  // Time of the next attempt to connect; InfiniteDuration when connected.
  absl::Duration NextAttempt() const;

 private:
  void Connect(absl::Duration now);
  void Drop(const absl::Status& why);

  const std::string folder_;
  std::optional<link::FrameSocket> socket_;
  int connections_ = 0;
  absl::Duration next_attempt_ = -absl::InfiniteDuration();
  absl::Duration back_off_ = absl::ZeroDuration();
};

}  // namespace ijepa::worker

#endif  // IJEPA_WORKER_DAEMON_RANK_LINK_H_
