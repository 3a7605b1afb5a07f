#include "worker/rank/outbox.h"

#include <gtest/gtest.h>

namespace ijepa::rank {
namespace {

v1::FromRank Note() {
  v1::FromRank message;
  message.mutable_note()->set_code("RESUMED");
  return message;
}
v1::FromRank Put() {
  v1::FromRank message;
  message.mutable_put()->set_key("id");
  return message;
}
v1::FromRank Checkpoint() {
  v1::FromRank message;
  message.mutable_checkpoint();
  return message;
}
v1::ToRank Ack(int64_t sequence) {
  v1::ToRank reply;
  reply.set_sequence(sequence);
  reply.mutable_ack();
  return reply;
}
v1::ToRank Committed(int64_t sequence) {
  v1::ToRank reply;
  reply.set_sequence(sequence);
  reply.mutable_commit()->set_committed(true);
  return reply;
}

constexpr absl::Duration kStart = absl::Seconds(100);

TEST(OutboxTest, SendsAgainWhatIsNotAcknowledged) {
  Outbox outbox({});
  outbox.Add(Note());
  EXPECT_EQ(outbox.Due(kStart).size(), 1u);
  EXPECT_EQ(outbox.Due(kStart + absl::Seconds(4)).size(), 0u);
  EXPECT_EQ(outbox.NextDue(), kStart + absl::Seconds(5));
  EXPECT_EQ(outbox.Due(kStart + absl::Seconds(5)).size(), 1u);
  outbox.Receive(Ack(1));
  EXPECT_EQ(outbox.Due(kStart + absl::Hours(1)).size(), 0u);
  EXPECT_TRUE(outbox.empty());
}

TEST(OutboxTest, SendsEverythingOnANewConnection) {
  Outbox outbox({});
  outbox.Add(Note());
  outbox.Add(Put());
  EXPECT_EQ(outbox.Due(kStart).size(), 2u);
  outbox.Receive(Ack(1));
  outbox.Receive(Ack(2));
  EXPECT_TRUE(outbox.empty());
  outbox.Reconnected();
  // The next worker may not know what was put; the note is stored by the coordinator.
  const auto due = outbox.Due(kStart);
  ASSERT_EQ(due.size(), 1u);
  EXPECT_TRUE(due[0].has_put());
  EXPECT_EQ(due[0].sequence(), 2);
}

TEST(OutboxTest, AnAcknowledgementIsNoAnswer) {
  Outbox outbox({});
  const int64_t sequence = outbox.Add(Checkpoint());
  outbox.Due(kStart);
  outbox.Receive(Ack(sequence));
  EXPECT_FALSE(outbox.TakeAnswer(sequence).has_value());
  EXPECT_EQ(outbox.Due(kStart + absl::Seconds(5)).size(), 1u);
  outbox.Receive(Committed(sequence));
  outbox.Receive(Committed(sequence));
  EXPECT_TRUE(outbox.TakeAnswer(sequence)->commit().committed());
  EXPECT_FALSE(outbox.TakeAnswer(sequence).has_value());
  EXPECT_TRUE(outbox.empty());
}

TEST(OutboxTest, DropsNotesBeyondItsBoundAndNothingElse) {
  Outbox::Options options;
  options.max_notes = 2;
  Outbox outbox(options);
  EXPECT_EQ(outbox.Add(Note()), 1);
  EXPECT_EQ(outbox.Add(Note()), 2);
  EXPECT_EQ(outbox.Add(Note()), 0);
  EXPECT_EQ(outbox.Add(Checkpoint()), 3);
  outbox.Receive(Ack(1));
  EXPECT_EQ(outbox.Add(Note()), 4);
}

}  // namespace
}  // namespace ijepa::rank
