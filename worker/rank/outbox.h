// What a rank has told its worker and has no acknowledgement of yet, and the answers that came.
// Pure: no sockets, no threads, time as an argument.
#ifndef IJEPA_WORKER_RANK_OUTBOX_H_
#define IJEPA_WORKER_RANK_OUTBOX_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "absl/time/time.h"
#include "ijepa/v1/rank_link.pb.h"

namespace ijepa::rank {

// Sequences count from 1. Thread-compatible.
class Outbox {
 public:
  struct Options {
    // A message without acknowledgement is sent again after this.
    absl::Duration resend_after = absl::Seconds(5);
    // Notes beyond this many waiting messages are dropped; everything else is bounded by its
    // sender.
    size_t max_notes = 256;
  };
  explicit Outbox(Options options) : options_(options) {}

  // Takes a message that wants an acknowledgement, or an answer (get, checkpoint). Returns its
  // sequence; 0 for a note that was dropped because too many wait.
  int64_t Add(v1::FromRank message);
  // Gives up waiting for `sequence`.
  void Forget(int64_t sequence);
  // Takes what the worker sent for `reply.sequence()`. An acknowledgement ends notes, probes and
  // puts; an answer ends gets and checkpoints and is kept for TakeAnswer.
  void Receive(const v1::ToRank& reply);
  // The answer to `sequence`, once.
  std::optional<v1::ToRank> TakeAnswer(int64_t sequence);
  // Messages to send at `now`, in order: new ones, and those without acknowledgement for too long.
  std::vector<v1::FromRank> Due(absl::Duration now);
  // On a new connection everything is sent anew, also the puts that were acknowledged: the next
  // worker, or a restarted coordinator, may not know them.
  void Reconnected();
  // When the next message is due; InfiniteDuration if none waits.
  absl::Duration NextDue() const;
  // True when no message waits for an acknowledgement or answer.
  bool empty() const { return waiting_.empty(); }

 private:
  struct Waiting {
    v1::FromRank message;
    absl::Duration due = -absl::InfiniteDuration();
  };

  const Options options_;
  int64_t last_sequence_ = 0;
  size_t notes_ = 0;  // Notes in waiting_.
  std::map<int64_t, Waiting> waiting_;
  std::map<int64_t, v1::FromRank> acknowledged_puts_;
  std::map<int64_t, v1::ToRank> answers_;
};

}  // namespace ijepa::rank

#endif  // IJEPA_WORKER_RANK_OUTBOX_H_
