// Plans from views; no state.
#include "coordinator/core/scheduler.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "absl/strings/match.h"
#include "scheduler_scene.h"

namespace ijepa::coordinator {
namespace {

using ::absl::StrContains;

NodeView GpuNode(const std::string& name, int slots, int free) {
  NodeView node = CpuNode(name, slots, free);
  node.gpu = true;
  return node;
}

Planned Schedule(absl::Duration now, const std::vector<QueuedJob>& queue,
                 const std::vector<NodeView>& nodes) {
  SchedulerScene scene;
  scene.now = now;
  for (const NodeView& node : nodes) scene.cluster.Update(node);
  for (const QueuedJob& job : queue) scene.waiting.Update(job);
  return scene.Plan();
}

std::optional<v1::Reason> NeverFits(const QueuedJob& job, const std::vector<NodeView>& nodes) {
  ClusterIndex cluster;
  for (const NodeView& node : nodes) cluster.Update(node);
  return coordinator::NeverFits(job, cluster, SchedulingRules());
}

v1::Reason ReasonOf(const Planned& plan, const std::string& id) {
  const auto found = plan.reasons.find(id);
  return found == plan.reasons.end() ? v1::Reason() : found->second;
}

TEST(SchedulerTest, KeepsJobQueuedWhenOneSlotIsMissing) {
  const Planned plan =
      Schedule({}, {WantsRanks("job", 1, 4)}, {CpuNode("a", 2, 2), CpuNode("b", 2, 1)});
  EXPECT_TRUE(plan.starts.empty());
  EXPECT_EQ(ReasonOf(plan, "job").code(), "WAITING_FOR_SLOTS");
  EXPECT_EQ(ReasonOf(plan, "job").message(), "needs 4 slots; 3 of 4 are free");
}

TEST(SchedulerTest, StartsByPriorityThenBySubmission) {
  QueuedJob late = WantsRanks("late-but-urgent", 9, 1);
  late.priority = 5;
  const Planned plan = Schedule({}, {WantsRanks("second", 2, 1), late, WantsRanks("first", 1, 1)},
                                {CpuNode("a", 3, 3)});
  EXPECT_EQ(Started(plan), (std::vector<std::string>{"late-but-urgent", "first", "second"}));
}

TEST(SchedulerTest, AJobThatDoesNotFitNowIsNotOvertakenAndSaysWhoIsAhead) {
  const Planned plan =
      Schedule({}, {WantsRanks("large", 1, 4), WantsRanks("small", 2, 1)}, {CpuNode("a", 4, 3)});
  EXPECT_TRUE(plan.starts.empty());
  EXPECT_TRUE(StrContains(ReasonOf(plan, "small").message(), "large is ahead"));
}

TEST(SchedulerTest, AJobThatCanNeverFitHoldsBackNobody) {
  const Planned plan =
      Schedule({}, {WantsRanks("huge", 1, 8), WantsRanks("small", 2, 1)}, {CpuNode("a", 4, 4)});
  EXPECT_EQ(Started(plan), std::vector<std::string>{"small"});
  EXPECT_EQ(ReasonOf(plan, "huge").code(), "TOO_LARGE");
  EXPECT_TRUE(StrContains(ReasonOf(plan, "huge").message(), "needs 8 slots"));
  EXPECT_TRUE(StrContains(ReasonOf(plan, "huge").message(), "has 4"));
}

TEST(SchedulerTest, AJobInBackOffIsSkippedAndHoldsBackNobody) {
  QueuedJob waiting = WantsRanks("waiting", 1, 4);
  waiting.not_before = absl::Seconds(10);
  const std::vector<QueuedJob> queue = {waiting, WantsRanks("next", 2, 1)};
  EXPECT_EQ(Started(Schedule(absl::Seconds(9), queue, {CpuNode("a", 4, 4)})),
            std::vector<std::string>{"next"});
  EXPECT_EQ(Started(Schedule(absl::Seconds(10), queue, {CpuNode("a", 4, 4)})),
            std::vector<std::string>{"waiting"});
}

TEST(SchedulerTest, TakesTheTightestNodeThatHoldsTheWholeGang) {
  const Planned plan = Schedule({}, {WantsRanks("job", 1, 2)},
                                {CpuNode("a", 8, 8), CpuNode("b", 4, 2), CpuNode("c", 4, 3)});
  ASSERT_EQ(plan.starts.size(), 1);
  EXPECT_EQ(plan.starts[0].nodes, (std::vector<std::string>{"b", "b"}));
}

TEST(SchedulerTest, SpreadsOverFewNodesWithConsecutiveRanks) {
  const Planned plan = Schedule({}, {WantsRanks("job", 1, 5)},
                                {CpuNode("a", 2, 1), CpuNode("b", 4, 4), CpuNode("c", 4, 2)});
  ASSERT_EQ(plan.starts.size(), 1);
  EXPECT_EQ(plan.starts[0].nodes, (std::vector<std::string>{"b", "b", "b", "b", "c"}));
}

TEST(SchedulerTest, NeverMixesGpuAndCpuSlotsInAGang) {
  const Planned plan =
      Schedule({}, {WantsRanks("job", 1, 4)}, {GpuNode("g", 3, 3), CpuNode("c", 3, 3)});
  EXPECT_TRUE(plan.starts.empty());
  EXPECT_EQ(ReasonOf(plan, "job").code(), "TOO_LARGE");
}

TEST(SchedulerTest, GivesGpusToWhoAsksForThem) {
  QueuedJob cuda = WantsRanks("cuda", 1, 1);
  cuda.device = "cuda";
  QueuedJob cpu = WantsRanks("cpu", 2, 1);
  cpu.device = "cpu";
  const Planned plan = Schedule({}, {cuda, cpu}, {GpuNode("g", 1, 1), CpuNode("c", 1, 1)});
  ASSERT_EQ(plan.starts.size(), 2);
  EXPECT_EQ(plan.starts[0].nodes, std::vector<std::string>{"g"});
  EXPECT_EQ(plan.starts[1].nodes, std::vector<std::string>{"c"});
  EXPECT_EQ(NeverFits(cuda, {CpuNode("c", 4, 4)})->code(), "TOO_LARGE");
}

TEST(SchedulerTest, GivesExplicitBf16OnlyCpusThatHaveIt) {
  QueuedJob half = WantsRanks("half", 1, 2);
  half.device = "cpu";
  half.bf16 = true;
  NodeView old = CpuNode("a-old", 8, 8);
  NodeView able = CpuNode("b-able", 2, 2);
  able.cpu_bf16 = true;
  const Planned plan = Schedule({}, {half}, {old, able});
  ASSERT_EQ(plan.starts.size(), 1);
  EXPECT_EQ(plan.starts[0].nodes, (std::vector<std::string>{"b-able", "b-able"}));
  // The slots of a GPU node are no help to a job on its CPU.
  EXPECT_EQ(NeverFits(half, {old, GpuNode("g", 8, 8)})->code(), "NO_BF16");
  able.free = 1;
  EXPECT_EQ(ReasonOf(Schedule({}, {half}, {old, able}), "half").message(),
            "needs 2 slots with bf16 arithmetic on the CPU; 1 of 2 are free");
  able.slots = 1;
  EXPECT_EQ(NeverFits(half, {old, able})->message(),
            "needs 2 slots with bf16 arithmetic on the CPU; the 1 registered node with bf16 "
            "arithmetic on the CPU has 1");
}

TEST(SchedulerTest, AnyDeviceWithBf16WillDoForAJobThatLeavesItOpen) {
  QueuedJob half = WantsRanks("half", 1, 1);
  half.bf16 = true;
  const Planned plan = Schedule({}, {half}, {CpuNode("c", 4, 4), GpuNode("g", 1, 1)});
  ASSERT_EQ(plan.starts.size(), 1);
  EXPECT_EQ(plan.starts[0].nodes, std::vector<std::string>{"g"});
  EXPECT_EQ(NeverFits(half, {CpuNode("c", 4, 4)})->message(),
            "has meta.precision bf16 and needs 1 slot with a GPU or bf16 arithmetic on the CPU "
            "(AVX512-BF16 or AMX-BF16); 1 node is registered, none has it");
}

TEST(SchedulerTest, AJobThatWaitsKeepsOnlyTheNodesThatSuitIt) {
  QueuedJob half = WantsRanks("half", 1, 2);
  half.bf16 = true;
  NodeView able = CpuNode("able", 2, 1);
  able.cpu_bf16 = true;
  const Planned plan = Schedule({}, {half, WantsRanks("two", 2, 2), WantsRanks("one-more", 3, 1)},
                                {able, CpuNode("c", 2, 2)});
  EXPECT_EQ(Started(plan), std::vector<std::string>{"two"});
  EXPECT_TRUE(StrContains(ReasonOf(plan, "one-more").message(), "half is ahead"));
}

TEST(SchedulerTest, UsesNoNodeThatIsAwayButWaitsForIt) {
  NodeView away = CpuNode("a", 2, 2);
  away.usable = false;
  const Planned plan = Schedule({}, {WantsRanks("job", 1, 2)}, {away});
  EXPECT_TRUE(plan.starts.empty());
  EXPECT_EQ(ReasonOf(plan, "job").code(), "WAITING_FOR_SLOTS");
}

TEST(SchedulerTest, NeverGivesOutMoreThanIsFree) {
  // A fixed sequence of pseudo-random queues; the sum over starts must fit every node.
  uint32_t x = 12345;
  const auto draw = [&x](int below) {
    x = x * 1664525u + 1013904223u;
    return static_cast<int>((x >> 8) % static_cast<uint32_t>(below));
  };
  for (int round = 0; round < 200; ++round) {
    std::vector<NodeView> nodes;
    for (int n = 0; n < 5; ++n) {
      const int slots = 1 + draw(8);
      nodes.push_back(CpuNode(std::string(1, static_cast<char>('a' + n)), slots, draw(slots + 1)));
      nodes.back().gpu = draw(2) == 0;
      nodes.back().usable = draw(4) != 0;
    }
    std::vector<QueuedJob> queue;
    for (int j = 0; j < 10; ++j) {
      queue.push_back(WantsRanks(std::to_string(j), j, 1 + draw(10)));
    }
    const Planned plan = Schedule({}, queue, nodes);
    for (const NodeView& node : nodes) {
      int64_t taken = 0;
      for (const Start& start : plan.starts) {
        taken += std::count(start.nodes.begin(), start.nodes.end(), node.name);
      }
      EXPECT_LE(taken, node.usable ? node.free : 0) << "round " << round;
    }
    for (const Start& start : plan.starts) {
      EXPECT_EQ(start.nodes.size(), queue[std::stoi(start.id)].sizes[0]) << "round " << round;
    }
    EXPECT_EQ(plan.starts.size() + plan.reasons.size(), queue.size());
  }
}

TEST(SchedulerTest, SizesAreTheDivisorsOfShardsWithinRanks) {
  v1::JobSpec spec;
  spec.mutable_ranks()->set_min(2);
  spec.mutable_ranks()->set_max(6);
  spec.set_shards(12);
  EXPECT_EQ(GangSizes(spec), (std::vector<int>{6, 4, 3, 2}));
}

}  // namespace
}  // namespace ijepa::coordinator
