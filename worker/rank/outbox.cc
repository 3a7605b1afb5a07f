#include "worker/rank/outbox.h"

#include <algorithm>
#include <utility>

namespace ijepa::rank {
namespace {

bool WantsAnswer(const v1::FromRank& message) {
  return message.has_get() || message.has_checkpoint();
}

bool IsAnswer(const v1::ToRank& reply) { return reply.has_value() || reply.has_commit(); }

}  // namespace

int64_t Outbox::Add(v1::FromRank message) {
  if (message.has_note()) {
    if (notes_ >= options_.max_notes) return 0;
    ++notes_;
  }
  const int64_t sequence = ++last_sequence_;
  message.set_sequence(sequence);
  waiting_[sequence].message = std::move(message);
  return sequence;
}

void Outbox::Forget(int64_t sequence) {
  const auto it = waiting_.find(sequence);
  if (it == waiting_.end()) return;
  if (it->second.message.has_note()) --notes_;
  waiting_.erase(it);
}

void Outbox::Receive(const v1::ToRank& reply) {
  const auto it = waiting_.find(reply.sequence());
  if (it == waiting_.end()) return;  // A repeated reply.
  if (WantsAnswer(it->second.message)) {
    // An acknowledgement says only that the coordinator has the question.
    if (!IsAnswer(reply)) return;
    answers_[reply.sequence()] = reply;
  } else if (!reply.has_ack()) {
    return;
  } else if (it->second.message.has_put()) {
    acknowledged_puts_[reply.sequence()] = it->second.message;
  }
  Forget(reply.sequence());
}

std::optional<v1::ToRank> Outbox::TakeAnswer(int64_t sequence) {
  const auto it = answers_.find(sequence);
  if (it == answers_.end()) return std::nullopt;
  v1::ToRank answer = std::move(it->second);
  answers_.erase(it);
  return answer;
}

std::vector<v1::FromRank> Outbox::Due(absl::Duration now) {
  std::vector<v1::FromRank> due;
  for (auto& [sequence, waiting] : waiting_) {
    if (waiting.due > now) continue;
    waiting.due = now + options_.resend_after;
    due.push_back(waiting.message);
  }
  return due;
}

void Outbox::Reconnected() {
  for (auto& [sequence, waiting] : waiting_) waiting.due = -absl::InfiniteDuration();
  for (auto& [sequence, put] : acknowledged_puts_) waiting_[sequence].message = std::move(put);
  acknowledged_puts_.clear();
}

absl::Duration Outbox::NextDue() const {
  absl::Duration next = absl::InfiniteDuration();
  for (const auto& [sequence, waiting] : waiting_) next = std::min(next, waiting.due);
  return next;
}

}  // namespace ijepa::rank
