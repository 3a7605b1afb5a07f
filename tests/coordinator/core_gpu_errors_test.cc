// Errors of GPUs that are heard of before, with and after the failure they are the cause of.
#include <gtest/gtest.h>

#include "absl/strings/match.h"
#include "coordinator/core/gpu_errors.h"
#include "two_rank_job.h"

namespace ijepa::coordinator {
namespace {

constexpr int kHard = 79;
constexpr int kSoft = 31;

class CoreGpuErrorsTest : public TwoRankJob {
 protected:
  void SetUp() override {
    TwoRankJob::SetUp();
    for (const char* node : {"node-c", "node-d"}) core.Connect(node, 1);
  }

  // The first attempt ends by what rank `rank` said, and the second runs.
  void EndAttempt(int rank, const v1::RankExit& exit) {
    const std::string node = core.job(id).gang->ranks[static_cast<size_t>(rank)].node;
    core.Exit(node, id, rank, exit);
    core.Report(node);
    for (const char* each : {"node-a", "node-b", "node-c", "node-d"}) core.Obey(each);
    ASSERT_TRUE(attempt().has_end_time());
    ASSERT_EQ(core.job(id).proto.status().attempts_size(), 2);
  }

  // `node` reports errors of the GPU of a rank of the first attempt, which it runs no longer.
  void ReportLate(const std::string& node, int rank, const std::vector<int>& xids) {
    v1::EndedRank& ended = *core.report(node).add_ended_ranks();
    ended.set_job_uid(core.job(id).proto.uid());
    ended.set_generation(1);
    ended.set_rank(rank);
    ended.mutable_xids()->Assign(xids.begin(), xids.end());
    core.Report(node);
    core.report(node).clear_ended_ranks();
  }

  const v1::Attempt& attempt() { return core.job(id).proto.status().attempts(0); }
  bool Quarantined(const std::string& node) {
    return core.state().nodes.at(node).quarantine.has_value();
  }
};

TEST_F(CoreGpuErrorsTest, OneHeardAfterTheAttemptIsItsCauseAndQuarantinesTheNode) {
  EndAttempt(1, KilledBy(11, core.now().wall));
  EXPECT_EQ(attempt().failure().failure_class(), "CRASH");
  ReportLate("node-b", 1, {kHard});
  EXPECT_EQ(attempt().failure().failure_class(), "GPU_HW");
  EXPECT_EQ(attempt().failure().signal(), 11) << "what else was seen stays";
  ASSERT_EQ(attempt().failure().xids_size(), 1);
  EXPECT_EQ(XidsOf(attempt(), 1).Get(0), kHard);
  EXPECT_TRUE(core.HasEvent(id, "GPU_ERROR"));
  EXPECT_TRUE(Quarantined("node-b"));
  EXPECT_EQ(core.job(id).proto.status().attempts_size(), 2) << "the retry stays as it was decided";
}

TEST_F(CoreGpuErrorsTest, OneOfAnotherRankIsTheCauseOfALostPeer) {
  EndAttempt(0, FailedWith("ABORTED", "NCCL: remote error", core.now().wall));
  ReportLate("node-b", 1, {kSoft});
  EXPECT_EQ(attempt().failure().rank(), 0)
      << "an error that a program may have made moves no blame";
  ReportLate("node-b", 1, {kSoft, kHard});
  const v1::Failure& failure = attempt().failure();
  EXPECT_EQ(failure.failure_class(), "GPU_HW");
  EXPECT_EQ(failure.rank(), 1);
  EXPECT_EQ(failure.node(), "node-b");
  EXPECT_TRUE(absl::StrContains(failure.message(), "NCCL: remote error")) << failure.message();
  EXPECT_TRUE(Quarantined("node-b"));
  EXPECT_FALSE(Quarantined("node-a"));
}

TEST_F(CoreGpuErrorsTest, OneOfAnotherRankIsTheCauseWhileTheGangIsCleared) {
  core.Exit("node-a", id, 0, FailedWith("ABORTED", "NCCL: remote error", core.now().wall));
  core.Report("node-a");
  core.report("node-b").mutable_ranks(0)->add_xids(kHard);
  core.Report("node-b");
  for (const char* each : {"node-a", "node-b", "node-c", "node-d"}) core.Obey(each);
  EXPECT_EQ(attempt().failure().failure_class(), "GPU_HW");
  EXPECT_EQ(attempt().failure().rank(), 1);
  EXPECT_TRUE(absl::StrContains(attempt().failure().message(), "NCCL: remote error"));
  EXPECT_TRUE(Quarantined("node-b"));
}

TEST_F(CoreGpuErrorsTest, AUsersErrorStaysOne) {
  core.Exit("node-b", id, 1, FailedWith("INVALID_ARGUMENT", "no such key", core.now().wall));
  core.Report("node-b");
  for (const char* each : {"node-a", "node-b"}) core.Obey(each);
  ReportLate("node-b", 1, {kHard});
  EXPECT_EQ(attempt().failure().failure_class(), "USER_ERROR");
  EXPECT_EQ(XidsOf(attempt(), 1).size(), 1) << "and it is recorded";
}

TEST_F(CoreGpuErrorsTest, WhatIsReportedAgainIsTakenOnceAlsoByTheNextCoordinator) {
  EndAttempt(1, KilledBy(11, core.now().wall));
  for (int i = 0; i < 3; ++i) ReportLate("node-b", 1, {kSoft});
  EXPECT_EQ(core.CountEvents(id, "GPU_ERROR"), 1);
  core.Restart();
  for (const char* each : {"node-a", "node-b", "node-c", "node-d"}) core.Connect(each, 1);
  ReportLate("node-b", 1, {kSoft});
  EXPECT_EQ(core.CountEvents(id, "GPU_ERROR"), 1) << "it is stored with the attempt";
  EXPECT_EQ(XidsOf(attempt(), 1).size(), 1);
}

TEST_F(CoreGpuErrorsTest, ANodeSpeaksForNoOthersRanks) {
  EndAttempt(1, KilledBy(11, core.now().wall));
  ReportLate("node-a", 1, {kHard});
  EXPECT_EQ(attempt().failure().failure_class(), "CRASH");
  EXPECT_EQ(attempt().gpu_errors_size(), 0);
  EXPECT_FALSE(Quarantined("node-a"));
  EXPECT_FALSE(Quarantined("node-b"));
}

}  // namespace
}  // namespace ijepa::coordinator
