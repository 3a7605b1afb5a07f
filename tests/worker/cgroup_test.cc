// Control groups of ranks, with real processes in the machine's own hierarchy.
#include "worker/daemon/cgroup.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "tests/worker/rank_process_fixture.h"

namespace ijepa::worker {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

// Skips, by name, where this machine lets nobody make groups.
class CgroupTest : public RankProcessFixture {
 protected:
  void SetUp() override {
    std::filesystem::create_directories(root_);
    std::string why;
    options_.cgroup_base = *MakeCgroupBase("auto", root_, CgroupSources(), why);
    if (options_.cgroup_base.empty()) {
      GTEST_SKIP() << "needs a writable cgroup2 with cgroup.kill: " << why;
    }
    // As the worker does: what a rank leaves behind comes to this process.
    ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  }
  void TearDown() override {
    if (options_.cgroup_base.empty()) return;
    ClearCgroups(options_.cgroup_base, {}, absl::Seconds(30));
    ::rmdir(options_.cgroup_base.c_str());
    ReapStrays({});
    ::prctl(PR_SET_CHILD_SUBREAPER, 0);
  }

  std::string Group() const { return options_.cgroup_base + "/job.g2.r1"; }
  // The child that the script's "leave" put into a session of its own.
  pid_t LeftBehind() const {
    while (true) {
      for (const std::string& line : LogTailLines(Folder() + "/log.txt", 10)) {
        absl::string_view text = line;
        pid_t pid = 0;
        if (absl::ConsumePrefix(&text, "left ") && absl::SimpleAtoi(text, &pid)) return pid;
      }
      ::usleep(1000);
    }
  }
  // The process has ended, whether it was reaped or not.
  static bool IsGone(pid_t pid) {
    ReapStrays({});
    return !ProcessId::Of(pid).ok();
  }
};

TEST_F(CgroupTest, WhatARankLeavesInAnotherSessionDiesWithIt) {
  auto rank = Start("leave exit:0");
  EXPECT_EQ(rank->cgroup(), Group());
  const pid_t left = LeftBehind();
  WaitForExit(*rank);
  EXPECT_TRUE(IsGone(left));
  EXPECT_FALSE(std::filesystem::exists(Group())) << "the group goes with the rank";
}

TEST_F(CgroupTest, TheSlotIsTakenUntilTheGroupIsEmpty) {
  auto rank = Start("leave drain");
  const pid_t left = LeftBehind();
  ::kill(rank->pid(), SIGKILL);
  pollfd ended = {rank->pidfd(), POLLIN, 0};
  ::poll(&ended, 1, 60000);
  const auto group = Cgroup::Open(Group());
  ASSERT_TRUE(group.ok()) << group.status();
  EXPECT_TRUE(group->IsPopulated()) << "by what it left";
  rank->Poll(absl::Now());
  EXPECT_FALSE(rank->exit().has_value());
  WaitForExit(*rank);
  EXPECT_TRUE(IsGone(left));
}

TEST_F(CgroupTest, AKilledRankTakesItsGroupWithIt) {
  auto rank = Start("leave drain");
  const pid_t left = LeftBehind();
  rank->Kill("a test");
  EXPECT_THAT(WaitForExit(*rank).message(), HasSubstr("a test"));
  EXPECT_TRUE(IsGone(left));
}

TEST_F(CgroupTest, TheNextWorkerEndsWhatARankLeftWhileNoneWatched) {
  auto first = Start("leave drain");
  const pid_t pid = first->pid();
  const pid_t left = LeftBehind();
  first.reset();  // As a worker that was killed.
  ::kill(pid, SIGKILL);
  ::waitpid(pid, nullptr, 0);
  EXPECT_FALSE(IsGone(left));
  auto adopted = RankProcess::Adopt(Folder());
  ASSERT_TRUE(adopted.ok()) << adopted.status();
  EXPECT_EQ((*adopted)->cgroup(), Group());
  WaitForExit(**adopted);
  EXPECT_TRUE(IsGone(left));
}

TEST_F(CgroupTest, GroupsThatNoRankHasAreCleared) {
  auto kept = Start("drain");
  const auto stray = Cgroup::Make(options_.cgroup_base + "/stray");
  ASSERT_TRUE(stray.ok()) << stray.status();
  ASSERT_TRUE(Cgroup::Make(stray->path() + "/below").ok());
  const pid_t child = ::fork();
  if (child == 0) {
    while (true) ::pause();
  }
  ASSERT_TRUE(Cgroup::Open(stray->path() + "/below")->Add(child).ok());
  EXPECT_TRUE(stray->IsPopulated()) << "by the group below it";
  EXPECT_EQ(stray->Remove().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(ClearCgroups(options_.cgroup_base, {kept->cgroup()}, absl::Seconds(30)), 1);
  EXPECT_TRUE(IsGone(child));
  EXPECT_FALSE(std::filesystem::exists(stray->path()));
  kept->Poll(absl::Now());
  EXPECT_FALSE(kept->exit().has_value()) << "that of a rank stays";
  kept->Kill("the end of the test");
  WaitForExit(*kept);
}

TEST_F(CgroupTest, ARankWithoutAGroupRunsAllTheSame) {
  const std::string base = std::exchange(options_.cgroup_base, root_ + "/no/such/folder");
  auto rank = Start("exit:3");
  options_.cgroup_base = base;
  EXPECT_EQ(rank->cgroup(), "");
  EXPECT_EQ(WaitForExit(*rank).exit_code(), 3);
}

class CgroupBaseTest : public RankProcessFixture {
 protected:
  CgroupBaseTest() {
    std::filesystem::create_directories(root_);
    sources_ = {root_ + "/mountinfo", root_ + "/cgroup"};
    Write("mountinfo", "30 23 0:26 / " + root_ + "/unified rw - cgroup2 cgroup2 rw\n");
    Write("cgroup", "4:memory:/x\n0::/slice/service\n");
  }
  void Write(const std::string& name, const std::string& text) {
    std::ofstream(root_ + "/" + name) << text;
  }
  absl::StatusOr<std::string> Base(const std::string& setting) {
    return MakeCgroupBase(setting, root_, sources_, why_);
  }

  CgroupSources sources_;
  std::string why_;
};

TEST_F(CgroupBaseTest, IsBelowTheWorkersOwnGroupAndNamedAfterTheStateFolder) {
  const std::string own = root_ + "/unified/slice/service";
  std::filesystem::create_directories(own);
  // An ordinary folder has no cgroup.kill, and nothing of it stays.
  EXPECT_EQ(*Base("auto"), "");
  EXPECT_THAT(why_, HasSubstr(own + " is not of a cgroup2 mount"));
  EXPECT_TRUE(std::filesystem::is_empty(own));
}

TEST_F(CgroupBaseTest, IsNoneWhereNoHierarchyIsMounted) {
  Write("mountinfo", "30 23 0:26 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n");
  EXPECT_EQ(*Base("auto"), "");
  EXPECT_THAT(why_, HasSubstr("no cgroup2 is mounted"));
  EXPECT_EQ(*Base("none"), "");
}

TEST_F(CgroupBaseTest, IsRefusedWhereTheOneThatWasNamedIsNone) {
  const absl::Status refused = Base(root_).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(refused.message()), StartsWith("cgroup is " + root_));
}

}  // namespace
}  // namespace ijepa::worker
