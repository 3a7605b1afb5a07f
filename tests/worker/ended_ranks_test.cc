// Whose an error of a GPU is that comes when the rank on it is forgotten.
#include "worker/daemon/ended_ranks.h"

#include <gtest/gtest.h>

#include "worker/daemon/local_rank.h"

namespace ijepa::worker {
namespace {

v1::RankStatus Rank(int64_t generation, std::vector<int> xids = {}) {
  v1::RankStatus status;
  status.set_job_uid("uid");
  status.set_generation(generation);
  status.set_rank(3);
  status.mutable_xids()->Assign(xids.begin(), xids.end());
  return status;
}

v1::NodeReport ReportOf(const EndedRanks& ended, absl::Duration now) {
  v1::NodeReport report;
  ended.AddTo(report, now);
  return report;
}

TEST(EndedRanksTest, TellsLateErrorsInEveryReportWithThoseFromBefore) {
  EndedRanks ended;
  ended.Add(1, Rank(7, {31}), absl::Seconds(10));
  EXPECT_EQ(ReportOf(ended, absl::Seconds(11)).ended_ranks_size(), 0) << "nothing came late";
  EXPECT_TRUE(ended.AddXid(1, 79, absl::Seconds(12)));
  for (const int second : {12, 60}) {
    const v1::NodeReport report = ReportOf(ended, absl::Seconds(second));
    ASSERT_EQ(report.ended_ranks_size(), 1);
    const v1::EndedRank& rank = report.ended_ranks(0);
    EXPECT_EQ(rank.job_uid(), "uid");
    EXPECT_EQ(rank.generation(), 7);
    EXPECT_EQ(rank.rank(), 3);
    EXPECT_EQ(std::vector<int>(rank.xids().begin(), rank.xids().end()), (std::vector<int>{31, 79}));
  }
}

TEST(EndedRanksTest, BlamesTheLastRankOfTheSlotAndNobodyAfterAWhile) {
  EndedRanks ended;
  EXPECT_FALSE(ended.AddXid(0, 79, absl::ZeroDuration()));
  ended.Add(0, Rank(1), absl::Seconds(1));
  ended.Add(0, Rank(2), absl::Seconds(2));
  ended.Add(-1, Rank(3), absl::Seconds(3));
  EXPECT_TRUE(ended.AddXid(0, 79, absl::Seconds(4)));
  EXPECT_FALSE(ended.AddXid(-1, 79, absl::Seconds(4))) << "it had no GPU";
  const v1::NodeReport report = ReportOf(ended, absl::Seconds(4));
  ASSERT_EQ(report.ended_ranks_size(), 1);
  EXPECT_EQ(report.ended_ranks(0).generation(), 2);
  const absl::Duration later = absl::Seconds(2) + EndedRanks::kMemory;
  EXPECT_FALSE(ended.AddXid(0, 79, later));
  EXPECT_EQ(ReportOf(ended, later).ended_ranks_size(), 0);
}

TEST(EndedRanksTest, KeepsAsManyAsAReportMayHold) {
  EndedRanks ended;
  ended.Add(0, Rank(1), absl::ZeroDuration());
  for (int i = 0; i < 2 * kMaxXids; ++i) ended.AddXid(0, 79, absl::ZeroDuration());
  EXPECT_EQ(ReportOf(ended, absl::ZeroDuration()).ended_ranks(0).xids_size(), kMaxXids);
}

}  // namespace
}  // namespace ijepa::worker
