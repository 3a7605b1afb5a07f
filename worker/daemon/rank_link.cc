#include "worker/daemon/rank_link.h"

#include <algorithm>
#include <utility>

#include "common/log.h"
#include "worker/link/rank_folder.h"
#include "worker/link/unix_socket.h"

namespace ijepa::worker {
namespace {

// A rank listens within milliseconds of its start, or after a second where LibTorch loads first.
constexpr absl::Duration kFirstBackOff = absl::Milliseconds(20);
constexpr absl::Duration kMaxBackOff = absl::Seconds(1);

}  // namespace

absl::Duration RankLink::NextAttempt() const {
  return socket_ ? absl::InfiniteDuration() : next_attempt_;
}

void RankLink::Connect(absl::Duration now) {
  absl::StatusOr<UniqueFd> fd = link::ConnectUnix(folder_, link::kSocketFile);
  if (!fd.ok()) {
    back_off_ = std::clamp(back_off_ * 2, kFirstBackOff, kMaxBackOff);
    next_attempt_ = now + back_off_;
    return;
  }
  socket_.emplace(*std::move(fd));
  back_off_ = absl::ZeroDuration();
  ++connections_;
}

void RankLink::Drop(const absl::Status& why) {
  LogInfo("link to a rank closed folder=", folder_, " reason=", why.message());
  socket_.reset();
}

bool RankLink::Send(const v1::ToRank& message) {
  if (!socket_) return false;
  if (absl::Status sent = socket_->Send(message); !sent.ok()) {
    Drop(sent);
    return false;
  }
  return true;
}

std::vector<v1::FromRank> RankLink::Service(absl::Duration now) {
  std::vector<v1::FromRank> messages;
  if (!socket_ && now >= next_attempt_) Connect(now);
  if (!socket_) return messages;
  absl::Status status = socket_->Flush();
  if (status.ok()) status = socket_->Receive();
  while (true) {
    absl::StatusOr<std::optional<std::string>> frame = socket_->Next();
    if (!frame.ok()) {
      status = frame.status();
      break;
    }
    if (!frame->has_value()) break;
    if (!messages.emplace_back().ParseFromString(**frame)) {
      // Passed over: a rank that is asked again would send the same once more, for ever.
      messages.pop_back();
      LogWarning("a frame of the rank is not a FromRank, passed over folder=", folder_,
                 " bytes=", (*frame)->size());
    }
  }
  if (!status.ok()) {
    next_attempt_ = now + kFirstBackOff;
    Drop(status);
  }
  return messages;
}

}  // namespace ijepa::worker
