// Queues, classes, backfill, topology and preemption: plans from scenes; no state.
#include <gtest/gtest.h>

#include <algorithm>

#include "absl/strings/match.h"
#include "coordinator/core/fair_share.h"
#include "scheduler_scene.h"

namespace ijepa::coordinator {
namespace {

using ::absl::StrContains;

using Ids = std::vector<std::string>;

QueuedJob InQueue(const std::string& id, int64_t number, int ranks, const std::string& queue) {
  QueuedJob job = WantsRanks(id, number, ranks);
  job.queue = queue;
  return job;
}

NodeView InRack(const std::string& name, int free, const std::string& rack) {
  NodeView node = CpuNode(name, 8, free);
  node.rack = rack;
  return node;
}

TEST(QueueTest, AQueueStopsAtItsLimitAndHoldsBackNobody) {
  SchedulerScene scene;
  scene.rules.queues["small"].limit = 4;
  scene.cluster.Update(CpuNode("n", 16, 16));
  for (int i = 0; i < 3; ++i) {
    scene.waiting.Update(InQueue(std::string(1, static_cast<char>('a' + i)), i + 1, 2, "small"));
  }
  scene.waiting.Update(WantsRanks("other", 9, 8));
  const Planned plan = scene.Plan();
  EXPECT_EQ(Started(plan), (Ids{"a", "other", "b"}));  // In turn, by fair share.
  EXPECT_EQ(plan.reasons.at("c").code(), kQuotaExceeded);
  EXPECT_EQ(plan.reasons.at("c").resource(), "quota of queue small");
  EXPECT_EQ(plan.reasons.at("c").short_by(), 2);
}

TEST(QueueTest, BorrowsNoMoreThanItsBorrowingLimit) {
  SchedulerScene scene;
  scene.rules.queues["a"].nominal = 4;
  scene.rules.queues["a"].borrowing_limit = 2;
  scene.cluster.Update(CpuNode("n", 16, 16));
  for (int i = 1; i <= 4; ++i) scene.waiting.Update(InQueue(std::to_string(i), i, 2, "a"));
  const Planned plan = scene.Plan();
  EXPECT_EQ(Started(plan), (Ids{"1", "2", "3"}));
  EXPECT_EQ(plan.reasons.at("4").message(), "needs 2 slots; queue a uses 6 and may use 6");
}

TEST(QueueTest, WhatRunsCountsAgainstTheQuota) {
  SchedulerScene scene;
  scene.rules.queues["a"].limit = 4;
  scene.cluster.Update(CpuNode("n", 16, 16));
  scene.Run("old", {{"n", 3}}).queue = "a";
  scene.waiting.Update(InQueue("new", 1, 2, "a"));
  EXPECT_TRUE(scene.Plan().starts.empty());
}

TEST(QueueTest, QueuesWithinTheirQuotaGoBeforeThoseThatBorrow) {
  SchedulerScene scene;
  scene.rules.queues["owner"].nominal = 4;
  scene.cluster.Update(CpuNode("n", 4, 4));
  scene.waiting.Update(WantsRanks("borrower", 1, 4));
  scene.waiting.Update(InQueue("owner", 2, 4, "owner"));
  EXPECT_EQ(Started(scene.Plan()), Ids{"owner"});
}

TEST(QueueTest, AJobLargerThanItsQueuesLimitNeverFits) {
  SchedulerScene scene;
  scene.rules.queues["small"].limit = 4;
  scene.cluster.Update(CpuNode("n", 16, 16));
  const auto never = NeverFits(InQueue("x", 1, 8, "small"), scene.cluster, scene.rules);
  ASSERT_TRUE(never.has_value());
  EXPECT_EQ(never->code(), kTooLarge);
  EXPECT_EQ(never->short_by(), 4);
}

TEST(FairShareTest, TheQueueThatUsedLessGoesFirst) {
  SchedulerScene scene;
  scene.cluster.Update(CpuNode("n", 2, 2));
  scene.usage["a"] = 1000;
  scene.waiting.Update(InQueue("greedy", 1, 2, "a"));
  scene.waiting.Update(InQueue("modest", 2, 2, "b"));
  EXPECT_EQ(Started(scene.Plan()), Ids{"modest"});
}

TEST(FairShareTest, SlotsAreSharedByWeightWithinOnePass) {
  SchedulerScene scene;
  scene.rules.queues["light"].weight = 1;
  scene.rules.queues["heavy"].weight = 3;
  scene.cluster.Update(CpuNode("n", 8, 8));
  for (int i = 0; i < 8; ++i) {
    scene.waiting.Update(InQueue("light-" + std::to_string(i), i, 1, "light"));
    scene.waiting.Update(InQueue("heavy-" + std::to_string(i), 100 + i, 1, "heavy"));
  }
  const Ids started = Started(scene.Plan());
  EXPECT_EQ(started.size(), 8);
  EXPECT_EQ(std::count_if(started.begin(), started.end(),
                          [](const std::string& id) { return StrContains(id, "heavy"); }),
            6);
}

TEST(FairShareTest, UseCountsHalfAfterItsHalfLife) {
  const absl::Time start = absl::FromUnixSeconds(1'700'000'000);
  QueueUsage usage{800, start};
  usage = Decay(usage, 0, start + absl::Hours(24), absl::Hours(24));
  EXPECT_NEAR(usage.slot_seconds, 400, 1e-6);
  // Slots held for ever tend to their number times the half-life over ln 2.
  usage = Decay(usage, 10, start + absl::Hours(24 * 100), absl::Hours(24));
  EXPECT_NEAR(usage.slot_seconds, 10 * 86400 / 0.6931471805599453, 1);
  // A clock that went back adds nothing.
  EXPECT_EQ(Decay(usage, 10, start, absl::Hours(24)).slot_seconds, usage.slot_seconds);
}

TEST(OrderTest, AHigherClassGoesFirstWhateverItsQueueUsed) {
  SchedulerScene scene;
  scene.cluster.Update(CpuNode("n", 2, 2));
  scene.usage["a"] = 1e9;
  QueuedJob high = InQueue("high", 2, 2, "a");
  high.class_value = 100;
  scene.waiting.Update(InQueue("normal", 1, 2, "b"));
  scene.waiting.Update(high);
  EXPECT_EQ(Started(scene.Plan()), Ids{"high"});
}

TEST(OrderTest, AJobThatHadSlotsAndFailedGoesBeforeOlderOnes) {
  SchedulerScene scene;
  scene.cluster.Update(CpuNode("n", 2, 2));
  QueuedJob back = WantsRanks("back", 9, 2);
  back.recovering = true;
  scene.waiting.Update(WantsRanks("old", 1, 2));
  scene.waiting.Update(back);
  EXPECT_EQ(Started(scene.Plan()), Ids{"back"});
}

class BackfillTest : public ::testing::Test {
 protected:
  // Two of four slots are held until `end`; the first job wants all four.
  void Begin(absl::Duration end) {
    scene_.cluster.Update(CpuNode("n", 4, 4));
    scene_.Run("holder", {{"n", 2}}).end = end;
    scene_.waiting.Update(WantsRanks("large", 1, 4));
  }
  void Add(const std::string& id, int ranks, absl::Duration limit) {
    QueuedJob job = WantsRanks(id, 2, ranks);
    job.time_left = limit;
    scene_.waiting.Update(job);
  }
  SchedulerScene scene_;
};

TEST_F(BackfillTest, AJobThatEndsInTimeGoesAhead) {
  Begin(scene_.now + absl::Hours(2));
  Add("short", 2, absl::Hours(2));
  const Planned plan = scene_.Plan();
  EXPECT_EQ(Started(plan), Ids{"short"});
  EXPECT_TRUE(plan.bypassed.empty());
  EXPECT_EQ(plan.reasons.at("large").earliest_start_time().seconds(), 1'700'000'000 + 7200);
}

TEST_F(BackfillTest, AJobThatEndsTooLateOrHasNoLimitDoesNot) {
  Begin(scene_.now + absl::Hours(2));
  scene_.rules.max_bypass = 100;
  Add("late", 2, absl::Hours(2) + absl::Seconds(1));
  EXPECT_TRUE(scene_.Plan().starts.empty());
  Add("late", 2, absl::InfiniteDuration());
  EXPECT_TRUE(scene_.Plan().starts.empty());
}

TEST_F(BackfillTest, AJobMayTakeWhatTheFirstOneWillNotNeed) {
  scene_.cluster.Update(CpuNode("n", 4, 4));
  scene_.Run("holder", {{"n", 2}}).end = scene_.now + absl::Hours(2);
  scene_.waiting.Update(WantsRanks("three", 1, 3));
  Add("one", 1, absl::InfiniteDuration());
  Add("two", 2, absl::InfiniteDuration());
  EXPECT_EQ(Started(scene_.Plan()), Ids{"one"});
}

TEST_F(BackfillTest, WithoutAKnownStartAJobIsBypassedAFewTimesOnly) {
  Begin(absl::InfiniteDuration());
  scene_.rules.max_bypass = 3;
  scene_.bypasses["large"] = 2;
  Add("first", 1, absl::InfiniteDuration());
  QueuedJob second = WantsRanks("second", 3, 1);
  scene_.waiting.Update(second);
  const Planned plan = scene_.Plan();
  EXPECT_EQ(Started(plan), Ids{"first"});
  EXPECT_EQ(plan.bypassed, Ids{"large"});
  EXPECT_FALSE(plan.reasons.at("large").has_earliest_start_time());
}

TEST(TopologyTest, RequiredKeepsAllRanksInOnePart) {
  SchedulerScene scene;
  scene.cluster.Update(InRack("a1", 6, "a"));
  scene.cluster.Update(InRack("b1", 4, "b"));
  scene.cluster.Update(InRack("b2", 4, "b"));
  QueuedJob job = WantsRanks("job", 1, 8);
  job.required = v1::TOPOLOGY_LEVEL_RACK;
  scene.waiting.Update(job);
  Planned plan = scene.Plan();
  ASSERT_EQ(plan.starts.size(), 1);
  EXPECT_EQ(plan.starts[0].nodes, (Ids{"b1", "b1", "b1", "b1", "b2", "b2", "b2", "b2"}));
  // Now no rack has eight, though the cluster has.
  QueuedJob next = job;
  next.id = "next";
  next.sizes = {7};
  scene.waiting.Remove("job");
  scene.waiting.Update(next);
  plan = scene.Plan();
  EXPECT_TRUE(plan.starts.empty());
  EXPECT_TRUE(StrContains(plan.reasons.at("next").message(), "in one rack"));
}

TEST(TopologyTest, TakesTheSmallestPartThatHoldsAll) {
  SchedulerScene scene;
  scene.cluster.Update(InRack("a1", 8, "a"));
  scene.cluster.Update(InRack("a2", 8, "a"));
  scene.cluster.Update(InRack("b1", 5, "b"));
  scene.cluster.Update(InRack("b2", 5, "b"));
  scene.waiting.Update(WantsRanks("job", 1, 9));
  const Planned plan = scene.Plan();
  ASSERT_EQ(plan.starts.size(), 1);
  EXPECT_EQ(plan.starts[0].nodes.front(), "b1");
  EXPECT_EQ(plan.starts[0].nodes.back(), "b2");
}

TEST(TopologyTest, PreferredGivesWayWhereItMust) {
  SchedulerScene scene;
  scene.cluster.Update(InRack("a1", 2, "a"));
  scene.cluster.Update(InRack("b1", 2, "b"));
  QueuedJob job = WantsRanks("job", 1, 4);
  job.preferred = v1::TOPOLOGY_LEVEL_RACK;
  scene.waiting.Update(job);
  EXPECT_EQ(scene.Plan().starts.size(), 1);
}

TEST(TopologyTest, APartThatIsTooSmallIsSaidSo) {
  SchedulerScene scene;
  scene.cluster.Update(InRack("a1", 8, "a"));
  scene.cluster.Update(InRack("b1", 8, "b"));
  QueuedJob job = WantsRanks("job", 1, 12);
  job.required = v1::TOPOLOGY_LEVEL_RACK;
  EXPECT_EQ(NeverFits(job, scene.cluster, scene.rules)->message(),
            "needs 12 slots in one rack; the largest has 8");
}

class PreemptionTest : public ::testing::Test {
 protected:
  PreemptionTest() {
    scene_.cluster.Update(CpuNode("n", 8, 8));
    high_ = WantsRanks("high", 9, 4);
    high_.class_value = 100;
  }
  Ids Victims() {
    scene_.waiting.Update(high_);
    const Planned plan = scene_.Plan();
    EXPECT_TRUE(plan.starts.empty());
    Ids ids;
    for (const Preemption& preemption : plan.preemptions) {
      EXPECT_EQ(preemption.by, "high");
      ids.push_back(preemption.id);
    }
    return ids;
  }
  SchedulerScene scene_;
  QueuedJob high_;
};

TEST_F(PreemptionTest, StopsThoseThatLoseLeastAndNoMoreThanItNeeds) {
  scene_.Run("a", {{"n", 4}}).safe = scene_.now - absl::Minutes(30);
  scene_.Run("b", {{"n", 4}}).safe = scene_.now - absl::Minutes(1);
  EXPECT_EQ(Victims(), Ids{"b"});
}

TEST_F(PreemptionTest, SparesASmallOneThatALargerOneMadeNeedless) {
  scene_.Run("small", {{"n", 2}}).safe = scene_.now - absl::Minutes(1);
  scene_.Run("large", {{"n", 6}}).safe = scene_.now - absl::Minutes(9);
  EXPECT_EQ(Victims(), Ids{"large"});
}

TEST_F(PreemptionTest, TheLowestClassGoesFirst) {
  scene_.Run("low", {{"n", 4}}).class_value = -100;
  scene_.gangs["low"].safe = scene_.now - absl::Hours(1);
  scene_.Run("normal", {{"n", 4}}).safe = scene_.now;
  EXPECT_EQ(Victims(), Ids{"low"});
}

TEST_F(PreemptionTest, StopsNobodyUnlessTheWholeGangThenFits) {
  scene_.Run("victim", {{"n", 3}});
  scene_.Run("peer", {{"n", 5}}).class_value = 100;
  EXPECT_TRUE(Victims().empty());
}

TEST_F(PreemptionTest, SparesTheYoungThoseWhoMayNotAndEqualClasses) {
  scene_.Run("young", {{"n", 2}}).start = scene_.now - absl::Minutes(1);
  scene_.Run("never", {{"n", 2}}).preemptible = false;
  scene_.Run("equal", {{"n", 4}}).class_value = 100;
  EXPECT_TRUE(Victims().empty());
}

TEST_F(PreemptionTest, WaitsForThoseThatAreOnTheirWayOut) {
  RunningGang& leaving = scene_.Run("leaving", {{"n", 4}});
  leaving.ending = true;
  leaving.end = scene_.now + absl::Minutes(2);
  scene_.Run("staying", {{"n", 4}});
  EXPECT_TRUE(Victims().empty());
}

TEST_F(PreemptionTest, OneKindOfSlotsIsEnoughForAJobThatTakesAny) {
  NodeView gpus = CpuNode("g", 4, 4);
  gpus.gpu = true;
  scene_.cluster.Update(gpus);
  high_.device = "auto";
  scene_.Run("on-gpus", {{"g", 4}});
  scene_.Run("on-cores", {{"n", 8}});
  EXPECT_EQ(Victims(), Ids{"on-gpus"});
  // Nor in the next pass, while that one ends.
  scene_.gangs["on-gpus"].ending = true;
  scene_.gangs["on-gpus"].end = scene_.now + absl::Minutes(1);
  EXPECT_TRUE(Victims().empty());
}

TEST_F(PreemptionTest, StopsNoMoreGangsThanOnePassMay) {
  scene_.rules.max_preemptions = 1;
  for (const char* id : {"a", "b", "c", "d"}) scene_.Run(id, {{"n", 2}});
  EXPECT_TRUE(Victims().empty());
}

TEST_F(PreemptionTest, AQueueTakesBackWhatOthersHoldBeyondTheirQuota) {
  scene_.rules.queues["owner"].nominal = 4;
  scene_.rules.queues["lender"].nominal = 2;
  high_.class_value = 0;
  high_.queue = "owner";
  scene_.Run("within", {{"n", 2}}).queue = "lender";
  scene_.Run("beyond", {{"n", 6}});
  EXPECT_EQ(Victims(), Ids{"beyond"});
}

TEST_F(PreemptionTest, AQueueTakesBackNoMoreThanOthersHoldBeyondTheirQuota) {
  scene_.rules.queues["owner"].nominal = 4;
  scene_.rules.queues["borrower"].nominal = 6;
  high_.class_value = 0;
  high_.queue = "owner";
  for (const char* id : {"a", "b", "c", "d"}) scene_.Run(id, {{"n", 2}}).queue = "borrower";
  // One of them is beyond the quota; two would have to go.
  EXPECT_TRUE(Victims().empty());
  scene_.rules.queues["borrower"].nominal = 4;
  EXPECT_EQ(Victims().size(), 2);
}

TEST_F(PreemptionTest, WhatIsOnItsWayOutIsNoLongerBeyondTheQuota) {
  scene_.cluster.Update(CpuNode("m", 2, 2));
  scene_.rules.queues["owner"].nominal = 4;
  scene_.rules.queues["borrower"].nominal = 6;
  high_.class_value = 0;
  high_.queue = "owner";
  RunningGang& leaving = scene_.Run("leaving", {{"m", 2}});
  leaving.queue = "borrower";
  leaving.ending = true;
  leaving.end = scene_.now + absl::Minutes(1);
  scene_.Run("a", {{"n", 6}}).queue = "borrower";
  scene_.Run("b", {{"n", 2}}).class_value = 100;
  EXPECT_TRUE(Victims().empty());
}

TEST_F(PreemptionTest, TheSlotsAreHeldForTheOneTheyAreFreedFor) {
  scene_.rules.max_bypass = 100;
  scene_.Run("a", {{"n", 6}});
  scene_.waiting.Update(high_);
  scene_.waiting.Update(WantsRanks("small", 10, 1));
  const Planned plan = scene_.Plan();
  EXPECT_EQ(plan.preemptions.size(), 1);
  EXPECT_TRUE(plan.starts.empty());
  EXPECT_EQ(plan.reasons.at("high").code(), kPreempting);
}

}  // namespace
}  // namespace ijepa::coordinator
