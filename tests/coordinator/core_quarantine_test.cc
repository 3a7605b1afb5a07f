// Nodes on which attempts keep failing, nodes that drain, and budgets that heal.
#include <gtest/gtest.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core_harness.h"

namespace ijepa::coordinator {
namespace {

constexpr const char* kNodes[] = {"node-a", "node-b", "node-c", "node-d"};

// Four nodes of one slot.
class CoreQuarantineTest : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const char* node : kNodes) core.Connect(node, 1);
  }

  std::string NodeOf(const std::string& id) { return core.job(id).gang->ranks[0].node; }

  // A new job of one rank dies on the node that it was given.
  void Fail(const std::string& name) {
    const std::string id = core.Submit(name, 1);
    ASSERT_TRUE(core.job(id).gang.has_value()) << name << " was given no node";
    const std::string node = NodeOf(id);
    core.Obey(node);
    core.Exit(node, id, 0, KilledBy(11, core.now().wall));
    core.Report(node);
    ASSERT_TRUE(core.Cancel(id).ok());
    for (const char* other : kNodes) core.Obey(other);  // It was started again somewhere.
  }
  // That is node-d as long as it is given ranks.
  void FailOnNodeD(const std::string& name) {
    Fail(name);
    ASSERT_EQ(core.job(name).proto.status().attempts(0).placements(0).node(), "node-d");
  }

  const Node& NodeD() { return core.state().nodes.at("node-d"); }

  CoreHarness core;
};

TEST_F(CoreQuarantineTest, ANodeOnWhichSeveralJobsFailIsGivenNoneForAWhile) {
  FailOnNodeD("one");
  FailOnNodeD("two");
  EXPECT_FALSE(NodeD().quarantine.has_value());
  FailOnNodeD("three");
  ASSERT_TRUE(NodeD().quarantine.has_value());
  EXPECT_TRUE(absl::StrContains(NodeD().quarantine->reason(), "3 attempts of 3 jobs"))
      << NodeD().quarantine->reason();
  EXPECT_TRUE(core.HasEvent("three", "NODE_QUARANTINED"));
  core.Submit("four", 1);
  EXPECT_NE(NodeOf("four"), "node-d");
  core.Restart();
  EXPECT_TRUE(NodeD().quarantine.has_value()) << "it is stored";
  core.Advance(core.options().quarantine.length + absl::Seconds(1));
  EXPECT_FALSE(NodeD().quarantine.has_value()) << "it ends by itself";
}

TEST_F(CoreQuarantineTest, HalfOfTheNodesAreTheMostThatAreOut) {
  for (int i = 0; i < 20; ++i) Fail(absl::StrCat("job-", i));
  int out = 0;
  for (const auto& [name, node] : core.state().nodes) out += node.quarantine.has_value() ? 1 : 0;
  EXPECT_EQ(out, 2) << "when most nodes fail, the cause is elsewhere";
}

TEST_F(CoreQuarantineTest, AReleasedNodeTakesRanksAgain) {
  for (const char* name : {"one", "two", "three"}) FailOnNodeD(name);
  ASSERT_TRUE(NodeD().quarantine.has_value());
  EXPECT_TRUE(core.ReleaseNode("node-d").ok());
  core.Submit("four", 1);
  EXPECT_EQ(NodeOf("four"), "node-d");
  EXPECT_EQ(core.ReleaseNode("node-x").code(), absl::StatusCode::kNotFound);
}

TEST_F(CoreQuarantineTest, AJobThatAlwaysDiesTakesNoNodeWithIt) {
  const std::string id = core.Submit("poison", 1);
  for (int attempt = 0; attempt < 3; ++attempt) {
    core.Advance(absl::Seconds(15));  // Past the back-off, and not yet silent for long.
    ASSERT_TRUE(core.job(id).gang.has_value());
    core.Obey("node-d");
    core.Exit("node-d", id, 0, KilledBy(11, core.now().wall));
    core.Report("node-d");
    core.Obey("node-d");
  }
  EXPECT_EQ(core.state_of(id), v1::JOB_STATE_FAILED);
  EXPECT_FALSE(NodeD().quarantine.has_value());
}

TEST_F(CoreQuarantineTest, ANodeWhoseGpuFailedIsGivenNoneAtOnce) {
  const std::string id = core.Submit("job", 2);
  for (const char* node : kNodes) core.Obey(node);
  const std::string broken = core.job(id).gang->ranks[1].node;
  core.report(broken).mutable_ranks(0)->add_xids(31);
  core.Report(broken);
  EXPECT_TRUE(core.HasEvent(id, "GPU_ERROR"));
  core.Exit(broken, id, 1, FailedWith("ABORTED", "NCCL: remote error", core.now().wall));
  core.Report(broken);
  EXPECT_EQ(core.job(id).proto.status().attempts(0).failure().failure_class(), "COLLECTIVE");
  // The driver says the rest of it after the rank has ended.
  core.report(broken).mutable_ranks(0)->add_xids(79);
  core.Report(broken);
  for (const char* node : kNodes) core.Obey(node);
  const v1::Failure& failure = core.job(id).proto.status().attempts(0).failure();
  EXPECT_EQ(failure.failure_class(), "GPU_HW");
  EXPECT_EQ(failure.xids_size(), 2);
  const std::optional<v1::Quarantine>& quarantine = core.state().nodes.at(broken).quarantine;
  ASSERT_TRUE(quarantine.has_value());
  EXPECT_TRUE(absl::StrContains(quarantine->reason(), "Xid 31, 79")) << quarantine->reason();
  for (const RankState& state : core.job(id).gang->ranks) EXPECT_NE(state.node, broken);
}

TEST_F(CoreQuarantineTest, OffIsOff) {
  core.options().quarantine.faults = 0;
  core.Restart();
  for (const char* node : {"node-a", "node-b", "node-c", "node-d"}) core.Connect(node, 1);
  for (const char* name : {"one", "two", "three", "four"}) FailOnNodeD(name);
  EXPECT_FALSE(NodeD().quarantine.has_value());
}

TEST_F(CoreQuarantineTest, ANodeThatDrainsIsGivenNoRanks) {
  core.report("node-d").set_draining(true);
  core.Report("node-d");
  core.Submit("job", 1);
  EXPECT_EQ(NodeOf("job"), "node-c");
  core.report("node-d").set_draining(false);
  core.Report("node-d");
  core.Submit("next", 1);
  EXPECT_EQ(NodeOf("next"), "node-d");
}

TEST_F(CoreQuarantineTest, AJobNamesTheNodeThatDrains) {
  const std::string id = core.Submit("job", 1);
  core.RunTo(id, 1);
  core.report("node-d").set_draining(true);
  core.Report("node-d");
  const v1::Reason reason = core.job(id).proto.status().reason();
  EXPECT_EQ(core.state_of(id), v1::JOB_STATE_RUNNING);
  EXPECT_EQ(reason.code(), "DRAINING");
  EXPECT_TRUE(absl::StrContains(reason.message(), "node node-d is draining")) << reason.message();
  core.Exit("node-d", id, 0, ExitOf(v1::RANK_OUTCOME_DRAINED));
  core.Report("node-d");
  EXPECT_NE(core.job(id).proto.status().reason().code(), "DRAINING") << "it is elsewhere now";
}

TEST(CoreBudgetTest, RestartsHealByTenCheckpointsAndByNothingElse) {
  CoreHarness core;
  core.Connect("node-a", 1);
  const std::string id = core.Submit("job", 1);
  core.RunTo(id, 1);
  core.Exit("node-a", id, 0, KilledBy(9, core.now().wall));
  core.Report("node-a");
  core.Obey("node-a");
  EXPECT_EQ(core.job(id).spent_restarts, 1);
  core.RunTo(id, 2);
  for (int64_t step = 2; step <= 10; ++step) core.Commit(id, step, absl::StrCat("/c/", step));
  core.Restart();
  core.Connect("node-a", 1);
  EXPECT_EQ(core.job(id).spent_restarts, 1) << "nine are not ten";
  core.Commit(id, 11, "/c/11");
  EXPECT_EQ(core.job(id).spent_restarts, 0);
}

TEST(CoreBudgetTest, AJobThatAsksForNoDelayIsStartedAtOnce) {
  CoreHarness core;
  core.Connect("node-a", 1);
  CreateJob command;
  command.spec = SpecFor("job", 1);
  command.spec.set_restart_delay_seconds(0);
  ASSERT_TRUE(core.Create(command).ok());
  for (int attempt = 1; attempt <= 2; ++attempt) {
    core.RunTo("job", 1);
    core.Exit("node-a", "job", 0, KilledBy(9, core.now().wall));
    core.Report("node-a");
    core.Obey("node-a");
    EXPECT_EQ(core.state_of("job"), v1::JOB_STATE_STARTING) << attempt;
  }
}

}  // namespace
}  // namespace ijepa::coordinator
