// Reconcile as a function: what is wanted and what is there, in; actions, out.
#include "worker/daemon/reconcile.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ijepa::worker {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

const absl::Time kNow = absl::FromUnixSeconds(3600);

v1::DesiredGang* AddGang(v1::DesiredState& state, const std::string& job, int64_t generation,
                         const std::vector<int>& ranks) {
  v1::DesiredGang* gang = state.add_gangs();
  gang->set_job_uid(job);
  gang->set_generation(generation);
  for (const int rank : ranks) gang->add_ranks(rank);
  return gang;
}

ActualRank Running(const RankKey& key, int slot) {
  ActualRank rank;
  rank.key = key;
  rank.slot = slot;
  rank.running = true;
  return rank;
}

bool Nothing(const Actions& actions) {
  return actions.start.empty() && actions.drain.empty() && actions.kill.empty() &&
         actions.forget.empty() && actions.drain_unstarted.empty();
}

TEST(ReconcileTest, StartsWantedRanksOnFreeSlots) {
  v1::DesiredState desired;
  AddGang(desired, "a", 1, {4, 5});
  const Actions actions = Reconcile(desired, {Running({"b", 1, 0}, 0)}, 4, kNow);
  // b is not wanted, but holds slot 0 until it is gone.
  ASSERT_THAT(actions.start, SizeIs(2));
  EXPECT_EQ(actions.start[0].key, (RankKey{"a", 1, 4}));
  EXPECT_EQ(actions.start[0].slot, 1);
  EXPECT_EQ(actions.start[1].slot, 2);
}

TEST(ReconcileTest, DoesNothingWhenAllIsAsWanted) {
  v1::DesiredState desired;
  AddGang(desired, "a", 1, {0, 1});
  const std::vector<ActualRank> actual = {Running({"a", 1, 0}, 0), Running({"a", 1, 1}, 1)};
  EXPECT_TRUE(Nothing(Reconcile(desired, actual, 2, kNow)));
  EXPECT_TRUE(Nothing(Reconcile(desired, actual, 2, kNow)));
}

TEST(ReconcileTest, WaitsForAFreeSlot) {
  v1::DesiredState desired;
  AddGang(desired, "a", 1, {0});
  AddGang(desired, "b", 1, {0});
  EXPECT_THAT(Reconcile(desired, {Running({"a", 1, 0}, 0)}, 1, kNow).start, IsEmpty());
}

TEST(ReconcileTest, KillsWhatIsNotWanted) {
  const Actions actions = Reconcile({}, {Running({"a", 1, 0}, 0)}, 1, kNow);
  ASSERT_THAT(actions.kill, SizeIs(1));
  EXPECT_FALSE(actions.kill[0].superseded);
}

TEST(ReconcileTest, KillsOnlyOnce) {
  ActualRank rank = Running({"a", 1, 0}, 0);
  rank.killed = true;
  EXPECT_TRUE(Nothing(Reconcile({}, {rank}, 1, kNow)));
}

TEST(ReconcileTest, KillsAStaleGenerationBeforeTheNewOneStarts) {
  v1::DesiredState desired;
  AddGang(desired, "a", 2, {0});
  ActualRank old = Running({"a", 1, 0}, 0);
  Actions actions = Reconcile(desired, {old}, 8, kNow);
  ASSERT_THAT(actions.kill, SizeIs(1));
  EXPECT_TRUE(actions.kill[0].superseded);
  EXPECT_THAT(actions.start, IsEmpty());

  old.running = false;
  actions = Reconcile(desired, {old}, 8, kNow);
  EXPECT_THAT(actions.start, SizeIs(1));
}

TEST(ReconcileTest, NeverStartsAnExitedRankAgain) {
  v1::DesiredState desired;
  AddGang(desired, "a", 1, {0});
  ActualRank exited = Running({"a", 1, 0}, 0);
  exited.running = false;
  exited.settled = true;
  EXPECT_TRUE(Nothing(Reconcile(desired, {exited}, 1, kNow)));
}

TEST(ReconcileTest, ForgetsAnExitedRankOnlyWhenItsLogIsStoredAndItIsNotWanted) {
  ActualRank exited = Running({"a", 1, 0}, 0);
  exited.running = false;
  EXPECT_THAT(Reconcile({}, {exited}, 1, kNow).forget, IsEmpty());
  exited.settled = true;
  EXPECT_THAT(Reconcile({}, {exited}, 1, kNow).forget, ElementsAre(exited.key));
}

TEST(ReconcileTest, DrainsOnceAndKillsAtTheDeadline) {
  v1::DesiredState desired;
  v1::Drain* drain = AddGang(desired, "a", 1, {0})->mutable_drain();
  drain->mutable_deadline()->set_seconds(absl::ToUnixSeconds(kNow) + 60);
  ActualRank rank = Running({"a", 1, 0}, 0);
  EXPECT_THAT(Reconcile(desired, {rank}, 1, kNow).drain, SizeIs(1));
  rank.draining = true;
  EXPECT_TRUE(Nothing(Reconcile(desired, {rank}, 1, kNow)));
  EXPECT_THAT(Reconcile(desired, {rank}, 1, kNow + absl::Seconds(60)).kill, SizeIs(1));
}

TEST(ReconcileTest, ADrainedRankThatNeverStartedIsNotStarted) {
  v1::DesiredState desired;
  AddGang(desired, "a", 1, {0})->mutable_drain();
  const Actions actions = Reconcile(desired, {}, 1, kNow);
  EXPECT_THAT(actions.start, IsEmpty());
  EXPECT_THAT(actions.drain_unstarted, SizeIs(1));
}

TEST(ReconcileTest, OfTwoWantedGenerationsOnlyTheNewerStarts) {
  v1::DesiredState desired;
  AddGang(desired, "a", 1, {0});
  AddGang(desired, "a", 2, {0});
  const Actions actions = Reconcile(desired, {}, 8, kNow);
  ASSERT_THAT(actions.start, SizeIs(1));
  EXPECT_EQ(actions.start[0].key.generation, 2);
}

// Level-triggered: from any state, applying the actions again and again ends in what is wanted.
TEST(ReconcileTest, ConvergesFromAnyMixture) {
  v1::DesiredState desired;
  AddGang(desired, "a", 3, {0, 1});
  AddGang(desired, "b", 1, {7});
  std::vector<ActualRank> actual = {Running({"a", 2, 0}, 0), Running({"a", 3, 1}, 1),
                                    Running({"c", 1, 0}, 2)};
  for (int round = 0; round < 4; ++round) {
    const Actions actions = Reconcile(desired, actual, 3, kNow);
    for (const KillRank& kill : actions.kill) {
      for (ActualRank& rank : actual) {
        if (rank.key == kill.key) rank.running = false, rank.settled = true;
      }
    }
    for (const RankKey& key : actions.forget) {
      std::erase_if(actual, [&](const ActualRank& rank) { return rank.key == key; });
    }
    for (const StartRank& start : actions.start) actual.push_back(Running(start.key, start.slot));
  }
  std::vector<RankKey> keys;
  std::vector<int> slots;
  for (const ActualRank& rank : actual) {
    keys.push_back(rank.key);
    slots.push_back(rank.slot);
  }
  EXPECT_THAT(keys, ::testing::UnorderedElementsAre(RankKey{"a", 3, 0}, RankKey{"a", 3, 1},
                                                    RankKey{"b", 1, 7}));
  EXPECT_THAT(slots, ::testing::UnorderedElementsAre(0, 1, 2));
}

}  // namespace
}  // namespace ijepa::worker
