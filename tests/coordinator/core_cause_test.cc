// Which of several signs is the cause of an attempt's failure, and up to when one counts: the first
// is often that of a rank that only lost its peer.
#include <gtest/gtest.h>

#include <string>

#include "two_rank_job.h"

namespace ijepa::coordinator {
namespace {

class CoreCauseTest : public TwoRankJob {
 protected:
  // Rank 0 says so, and the gang is cleared. Node a has not acted on that.
  void LosePeer() {
    core.Exit("node-a", id, 0, FailedWith("ABORTED", "peer 1 is gone", core.now().wall));
    core.Report("node-a");
    ASSERT_EQ(core.state_of(id), v1::JOB_STATE_RECOVERING);
  }

  // Node b reports as it stands, with the desired state acted on.
  void ReportActed() {
    core.report("node-b").set_observed_revision(core.desired("node-b").revision());
    core.Report("node-b");
  }

  // Node a goes on talking, node b does not, until it is lost.
  void LoseNodeB() {
    core.Obey("node-a");
    for (int i = 0; i < 13; ++i) {
      core.Advance(absl::Seconds(5));
      core.Report("node-a");
    }
    ASSERT_EQ(core.state().nodes.at("node-b").state, v1::NODE_STATE_LOST);
  }

  const v1::Attempt& attempt() { return core.job(id).proto.status().attempts(0); }
  const v1::Failure& failure() { return attempt().failure(); }
};

TEST_F(CoreCauseTest, IsTheRankThatDiedNotTheOneThatLostItsPeer) {
  LosePeer();
  core.Exit("node-b", id, 1, KilledBy(11, core.now().wall - absl::Milliseconds(5)));
  ReportActed();
  EXPECT_EQ(failure().rank(), 1);
  EXPECT_EQ(failure().failure_class(), "CRASH");
  EXPECT_EQ(failure().signal(), 11);
}

TEST_F(CoreCauseTest, IsTheRankThatDiedThoughItsNodesClockIsAhead) {
  LosePeer();
  core.Exit("node-b", id, 1, KilledBy(9, core.now().wall + absl::Seconds(2)));
  core.Report("node-b");
  EXPECT_EQ(failure().failure_class(), "CRASH") << "its node could not have killed it for us yet";
  EXPECT_EQ(failure().rank(), 1);
}

TEST_F(CoreCauseTest, IsNoRankThatWasKilledByTheRecovery) {
  LosePeer();
  core.Advance(absl::Seconds(1));
  core.Exit("node-b", id, 1, KilledBy(9, core.now().wall));
  ReportActed();
  EXPECT_EQ(failure().failure_class(), "COLLECTIVE");
}

TEST_F(CoreCauseTest, IsNoRankThatAWorkerMayHaveKilledForUsBeforeItsRestart) {
  LosePeer();
  core.Advance(absl::Seconds(1));
  core.Exit("node-b", id, 1, KilledBy(9, core.now().wall));
  core.report("node-b").set_observed_revision(0);
  core.Connect("node-b", 1, "boot-2");
  EXPECT_EQ(failure().failure_class(), "COLLECTIVE");
}

TEST_F(CoreCauseTest, IsNoRankThatIsMissedAfterAnEarlierCoordinatorClearedIt) {
  LosePeer();
  core.Obey("node-b");
  core.Restart();
  core.ForgetRanks("node-b");
  core.Connect("node-b", 1, "boot-2");
  core.Connect("node-a", 1);
  EXPECT_EQ(failure().failure_class(), "COLLECTIVE");
  EXPECT_TRUE(core.state().nodes.at("node-b").faults.empty());
}

TEST_F(CoreCauseTest, IsNoRankThatWasKilledAtTheWordOfAnEarlierCoordinator) {
  LosePeer();
  core.Restart();
  core.Connect("node-a", 1);
  core.Exit("node-b", id, 1, KilledBy(9, core.now().wall));
  core.Connect("node-b", 1);
  EXPECT_EQ(failure().failure_class(), "COLLECTIVE");
}

TEST_F(CoreCauseTest, IsTheNodeThatIsLostWhileTheRestIsCleared) {
  LosePeer();
  LoseNodeB();
  EXPECT_EQ(failure().failure_class(), "NODE_LOST");
  EXPECT_EQ(failure().node(), "node-b");
  EXPECT_EQ(core.state().nodes.at("node-b").faults.size(), 1);
}

TEST_F(CoreCauseTest, StaysTheRankThatDiedWhenANodeIsLostLater) {
  core.Exit("node-a", id, 0, KilledBy(11, core.now().wall));
  core.Report("node-a");
  LoseNodeB();
  EXPECT_EQ(failure().failure_class(), "CRASH");
  EXPECT_EQ(failure().rank(), 0);
  EXPECT_EQ(core.state().nodes.at("node-b").faults.size(), 0);
}

TEST_F(CoreCauseTest, IsTheNodeThatCameBackWithoutItsRankWhileTheRestIsCleared) {
  LosePeer();
  core.Disconnect("node-b");
  core.ForgetRanks("node-b");
  core.Connect("node-b", 1, "boot-2");
  EXPECT_EQ(failure().failure_class(), "CRASH");
  EXPECT_EQ(failure().node(), "node-b");
}

TEST_F(CoreCauseTest, IsNothingWhereTheGangWasClearedByRequest) {
  core.Submit("waits", 2);
  core.Exit("node-a", id, 0, ExitOf(v1::RANK_OUTCOME_COMPLETED));
  core.Exit("node-b", id, 1, ExitOf(v1::RANK_OUTCOME_COMPLETED));
  core.Report("node-a");
  core.Report("node-b");
  for (const char* node : {"node-a", "node-b"}) core.Obey(node, v1::RANK_PHASE_STARTING);
  ASSERT_EQ(core.state_of("waits"), v1::JOB_STATE_STARTING);
  ASSERT_TRUE(core.Cancel("waits").ok());
  core.Obey("node-a");
  core.Exit("node-b", "waits", 1,
            FailedWith("ABORTED", "peer 0 is gone", core.now().wall + absl::Seconds(1)));
  core.Report("node-b");
  ASSERT_EQ(core.state_of("waits"), v1::JOB_STATE_CANCELLED);
  EXPECT_FALSE(core.job("waits").proto.status().attempts(0).has_failure());
}

}  // namespace
}  // namespace ijepa::coordinator
