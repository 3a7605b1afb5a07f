#include "worker/daemon/rendezvous_cache.h"

#include <gtest/gtest.h>

namespace ijepa::worker {
namespace {

v1::FromRank Put(const std::string& key, const std::string& value) {
  v1::FromRank message;
  message.set_sequence(1);
  message.mutable_put()->set_key(key);
  message.mutable_put()->set_value(value);
  return message;
}

v1::FromRank Get(int64_t sequence, const std::string& key) {
  v1::FromRank message;
  message.set_sequence(sequence);
  message.mutable_get()->set_key(key);
  return message;
}

TEST(RendezvousCacheTest, AnswersAGetOfAKeyThatIsHere) {
  RendezvousCache cache;
  EXPECT_TRUE(cache.Put({"a", 1, 0}, Put("id", "value")).empty());
  const auto reply = cache.Get({"a", 1, 3}, Get(9, "id"));
  ASSERT_TRUE(reply.has_value());
  EXPECT_EQ(reply->rank(), 3);
  EXPECT_EQ(reply->message().sequence(), 9);
  EXPECT_EQ(reply->message().value().value(), "value");
}

TEST(RendezvousCacheTest, AnswersWaitingRanksWhenTheKeyComes) {
  RendezvousCache cache;
  EXPECT_FALSE(cache.Get({"a", 1, 1}, Get(4, "id")).has_value());
  EXPECT_FALSE(cache.Get({"a", 1, 1}, Get(4, "id")).has_value());  // Asked again.
  EXPECT_FALSE(cache.Get({"a", 1, 2}, Get(4, "other")).has_value());
  const auto replies = cache.Put({"a", 1, 0}, Put("id", "value"));
  ASSERT_EQ(replies.size(), 1u);
  EXPECT_EQ(replies[0].rank(), 1);
  EXPECT_EQ(replies[0].message().sequence(), 4);
}

TEST(RendezvousCacheTest, KeepsGenerationsApart) {
  RendezvousCache cache;
  cache.Put({"a", 1, 0}, Put("id", "old"));
  EXPECT_FALSE(cache.Get({"a", 2, 1}, Get(1, "id")).has_value());
  EXPECT_FALSE(cache.Get({"b", 1, 1}, Get(1, "id")).has_value());
}

TEST(RendezvousCacheTest, AKeyIsWrittenOnce) {
  RendezvousCache cache;
  cache.Put({"a", 1, 0}, Put("id", "first"));
  cache.Put({"a", 1, 1}, Put("id", "second"));
  EXPECT_EQ(cache.Get({"a", 1, 2}, Get(1, "id"))->message().value().value(), "first");
}

TEST(RendezvousCacheTest, GivesPutsOfLivingAttemptsOnly) {
  RendezvousCache cache;
  cache.Put({"a", 1, 0}, Put("id", "old"));
  cache.Put({"a", 2, 0}, Put("id", "new"));
  cache.Retain([](const std::string&, int64_t generation) { return generation == 2; });
  const auto puts = cache.Puts();
  ASSERT_EQ(puts.size(), 1u);
  EXPECT_EQ(puts[0].generation(), 2);
  EXPECT_EQ(puts[0].message().put().value(), "new");
}

TEST(RendezvousCacheTest, HoldsNoMoreThanItsBound) {
  RendezvousCache cache;
  const std::string megabyte(1 << 20, 'x');
  for (int i = 0; i < 8; ++i) cache.Put({"a", 1, 0}, Put(std::to_string(i), megabyte));
  EXPECT_LE(cache.Puts().size(), 4u);
}

}  // namespace
}  // namespace ijepa::worker
