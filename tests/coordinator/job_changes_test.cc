// What those who follow lists are told from, and what streams remember.
#include "coordinator/services/job_changes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "coordinator/services/recent_map.h"

namespace ijepa::coordinator {
namespace {

using ::testing::ElementsAre;

Job JobIn(const std::string& id, v1::JobState state, int64_t revision) {
  Job job;
  job.id = id;
  job.revision = revision;
  job.proto.set_name(JobName(kDefaultProject, id));
  job.proto.mutable_status()->set_state(state);
  return job;
}

std::vector<std::string> Ids(const JobChanges& changes, int64_t after) {
  std::vector<std::string> ids;
  const auto& entries = changes.entries();
  for (auto it = entries.upper_bound(after); it != entries.end(); ++it)
    ids.push_back(it->second.id);
  return ids;
}

TEST(JobChangesTest, AJobThatChangesAgainMovesToTheEnd) {
  JobChanges changes;
  changes.Changed(JobIn("a", v1::JOB_STATE_QUEUED, 1));
  changes.Changed(JobIn("b", v1::JOB_STATE_QUEUED, 1));
  const int64_t seen = changes.revision();
  changes.Changed(JobIn("a", v1::JOB_STATE_RUNNING, 2));
  EXPECT_THAT(Ids(changes, 0), ElementsAre("b", "a"));
  EXPECT_THAT(Ids(changes, seen), ElementsAre("a"));
  EXPECT_THAT(changes.entries().rbegin()->second.left,
              ElementsAre(std::pair(v1::JOB_STATE_QUEUED, changes.revision())));
}

TEST(JobChangesTest, FiguresAloneAreNoChange) {
  JobChanges changes;
  Job job = JobIn("a", v1::JOB_STATE_RUNNING, 1);
  changes.Changed(job);
  job.proto.mutable_status()->mutable_progress()->set_step(7);
  changes.Changed(job);
  EXPECT_EQ(changes.revision(), 1);
  job.proto.mutable_status()->mutable_reason()->set_code("WAITING");
  changes.Changed(job);
  EXPECT_EQ(changes.revision(), 2);
}

TEST(JobChangesTest, ForgetsTheOldestThatEndedAndSaysSo) {
  JobChanges changes(2);
  changes.Changed(JobIn("lives", v1::JOB_STATE_QUEUED, 1));
  for (int i = 0; i < 3; ++i) {
    changes.Changed(JobIn(absl::StrCat("ended-", i), v1::JOB_STATE_FAILED, 1));
  }
  EXPECT_THAT(Ids(changes, 0), ElementsAre("lives", "ended-1", "ended-2"));
  EXPECT_FALSE(changes.Knows(1)) << "ended-0 came after it";
  EXPECT_TRUE(changes.Knows(2));
  EXPECT_FALSE(changes.Knows(changes.revision() + 1)) << "of another coordinator";
  EXPECT_EQ(changes.entries().rbegin()->second.last->name(), "projects/default/jobs/ended-2");
}

TEST(RecentMapTest, HoldsNoMoreThanItMayAndTheNewest) {
  RecentMap<int, int> map(8);
  for (int i = 0; i < 1000; ++i) {
    map.Add(i, i);
    ASSERT_LE(map.size(), 8);
  }
  for (int i = 996; i < 1000; ++i) {
    ASSERT_NE(map.Find(i), nullptr) << i;
    EXPECT_EQ(*map.Find(i), i);
  }
  EXPECT_EQ(map.Find(1), nullptr);
}

TEST(RecentMapTest, WhatIsAskedForStays) {
  RecentMap<int, int> map(8);
  map.Add(-1, 7);
  for (int i = 0; i < 1000; ++i) {
    map.Add(i, i);
    ASSERT_NE(map.Find(-1), nullptr) << i;
  }
  EXPECT_EQ(*map.Find(-1), 7);
}

}  // namespace
}  // namespace ijepa::coordinator
