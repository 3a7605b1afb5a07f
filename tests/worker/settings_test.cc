#include "worker/daemon/settings.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "absl/strings/match.h"
#include "tests/fakes/temporary_folder.h"
#include "worker/daemon/state_lock.h"

namespace ijepa::worker {
namespace {

Settings Valid() {
  Settings settings;
  settings.state_dir = "relative/state";
  settings.rank_binary = "/bin/true";
  return settings;
}

TEST(SettingsTest, FillsInWhatDependsOnTheMachine) {
  const auto settings = Resolve(Valid());
  ASSERT_TRUE(settings.ok()) << settings.status();
  EXPECT_FALSE(settings->node.empty());
  EXPECT_EQ(settings->state_dir[0], '/');
}

TEST(SettingsTest, RanksAreReachedWhereTheCoordinatorSeesTheNodeUnlessTold) {
  Settings settings = Valid();
  settings.coordinator = "localhost:7441";
  EXPECT_EQ(Resolve(settings)->host_address, "127.0.0.1");
  settings.host_address = "10.1.2.3";
  EXPECT_EQ(Resolve(settings)->host_address, "10.1.2.3");
  settings.host_address = "auto";
  settings.coordinator = "no-such-host.invalid:7441";
  const absl::Status status = Resolve(settings).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(absl::StrContains(status.message(), "no-such-host.invalid")) << status;
}

TEST(SettingsTest, NamesTheSettingThatIsWrong) {
  const auto message = [](auto change) {
    Settings settings = Valid();
    change(settings);
    return std::string(Resolve(settings).status().message());
  };
  EXPECT_TRUE(absl::StrContains(message([](Settings& s) { s.coordinator = "host"; }),
                                "coordinator is \"host\"; must be HOST:PORT"));
  EXPECT_TRUE(absl::StrContains(message([](Settings& s) { s.metrics_listen = "h:99999"; }),
                                "metrics_listen"));
  EXPECT_TRUE(absl::StrContains(message([](Settings& s) { s.state_dir = ""; }), "--state-dir"));
  EXPECT_TRUE(
      absl::StrContains(message([](Settings& s) { s.rank_binary = "/no/such"; }), "--rank-binary"));
  EXPECT_TRUE(absl::StrContains(message([](Settings& s) { s.cgroup = "on"; }),
                                "cgroup is \"on\"; must be auto, none, or"));
  EXPECT_EQ(message([](Settings& s) { s.cgroup = "/sys/fs/cgroup/ranks"; }), "");
  EXPECT_EQ(message([](Settings& s) { s.metrics_listen = "none"; }), "");
}

TEST(StateLockTest, RefusesASecondWorkerAndNamesTheFirst) {
  const std::string folder = ::testing::TempDir() + "state_lock_test." + std::to_string(::getpid());
  auto first = LockStateFolder(folder);
  ASSERT_TRUE(first.ok()) << first.status();
  const auto second = LockStateFolder(folder);
  EXPECT_EQ(second.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(absl::StrContains(second.status().message(), std::to_string(::getpid())));
  first->Reset();
  EXPECT_TRUE(LockStateFolder(folder).ok());
}

// As in /tmp, where another could have made it first.
TEST(StateLockTest, RefusesAFolderThatAnotherMadeWhereAllMayWrite) {
  constexpr uid_t kOther = 12345;
  if (::geteuid() != 0) GTEST_SKIP() << "only root can give a folder away";
  const TemporaryFolder root;
  const std::string folder = root.path() + "/state";
  ASSERT_EQ(::mkdir(folder.c_str(), 0777), 0);
  ASSERT_EQ(::chown(folder.c_str(), kOther, kOther), 0);
  EXPECT_TRUE(LockStateFolder(folder).ok()) << "nobody else could make it there";
  ASSERT_EQ(::chmod(root.path().c_str(), 01777), 0);
  const auto refused = LockStateFolder(folder);
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(absl::StrContains(refused.status().message(), "a folder of user 12345"));
}

TEST(SettingsTest, LabelsSayWhereTheNodeIs) {
  Settings settings = Valid();
  settings.labels = "island=a, rack=r7";
  const auto resolved = Resolve(settings);
  ASSERT_TRUE(resolved.ok()) << resolved.status();
  EXPECT_EQ(resolved->label_map,
            (std::map<std::string, std::string>{{"island", "a"}, {"rack", "r7"}}));
  for (const char* bad : {"rack", "rack=", "=r7", "rack=a,rack=b", "rack=a b"}) {
    settings.labels = bad;
    EXPECT_FALSE(Resolve(settings).ok()) << bad;
  }
}

}  // namespace
}  // namespace ijepa::worker
