// Processes of ranks: start, adoption, end.
#include "worker/daemon/rank_process.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "tests/worker/rank_process_fixture.h"

namespace ijepa::worker {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

using RankProcessTest = RankProcessFixture;

TEST_F(RankProcessTest, RunsTheProgramAndKeepsItsOutput) {
  options_.visible_device = "5";
  launch_.mutable_spec()->set_cpu_threads(7);
  auto rank = Start(
      "print-env:OMP_NUM_THREADS print-env:CUDA_VISIBLE_DEVICES print-env:CUDA_DEVICE_ORDER log:2");
  EXPECT_GT(rank->pid(), 1);
  EXPECT_EQ(rank->slot(), 3);
  // No worker attaches, so the fake rank's Flush has nothing to wait for.
  const v1::RankExit exit = WaitForExit(*rank);
  EXPECT_EQ(exit.outcome(), v1::RANK_OUTCOME_COMPLETED);
  EXPECT_THAT(exit.log_tail(), ElementsAre("OMP_NUM_THREADS=7", "CUDA_VISIBLE_DEVICES=5",
                                           "CUDA_DEVICE_ORDER=PCI_BUS_ID", "line 0", "line 1"));
}

TEST_F(RankProcessTest, TellsNcclOfTheInterfaceAndWhatTheJobSays) {
  options_.network.set_interface("eth7");
  v1::Label& variable = *launch_.mutable_spec()->mutable_network()->add_env();
  variable.set_key("NCCL_DEBUG");
  variable.set_value("INFO");
  auto rank = Start("print-env:NCCL_SOCKET_IFNAME print-env:NCCL_IB_DISABLE print-env:NCCL_DEBUG");
  EXPECT_THAT(WaitForExit(*rank).log_tail(),
              ElementsAre("NCCL_SOCKET_IFNAME==eth7", "NCCL_IB_DISABLE=1", "NCCL_DEBUG=INFO"));
}

TEST_F(RankProcessTest, LinesThatAreNotUtf8CanBeReported) {
  ::setenv("IJEPA_TEST_ODD", "caf\xe9", 1);
  auto rank = Start("print-env:IJEPA_TEST_ODD");
  ::unsetenv("IJEPA_TEST_ODD");
  const v1::RankExit exit = WaitForExit(*rank);
  EXPECT_THAT(exit.log_tail(), ElementsAre("IJEPA_TEST_ODD=caf\xef\xbf\xbd"));
  v1::RankExit read;
  EXPECT_TRUE(read.ParseFromString(exit.SerializeAsString()));
}

TEST_F(RankProcessTest, ReportsTheSignalThatKilledIt) {
  auto rank = Start("drain");
  ::kill(rank->pid(), SIGKILL);
  const v1::RankExit exit = WaitForExit(*rank);
  EXPECT_EQ(exit.outcome(), v1::RANK_OUTCOME_FAILED);
  EXPECT_EQ(exit.signal(), SIGKILL);
}

TEST_F(RankProcessTest, ASchedulersWarningToAllProcessesIsIgnoredFromTheStart) {
  auto rank = Start("drain");
  std::ifstream status("/proc/" + std::to_string(rank->pid()) + "/status");
  std::string line;
  while (std::getline(status, line) && line.rfind("SigIgn:", 0) != 0) {
  }
  const uint64_t ignored = std::stoull(line.substr(line.find('\t') + 1), nullptr, 16);
  EXPECT_TRUE(ignored >> (SIGUSR1 - 1) & 1) << line;
  ::kill(rank->pid(), SIGKILL);
  WaitForExit(*rank);
}

TEST_F(RankProcessTest, ReportsTheCodeOfAProgramThatLeftNoRecord) {
  auto rank = Start("exit:9");
  const v1::RankExit exit = WaitForExit(*rank);
  EXPECT_EQ(exit.exit_code(), 9);
  EXPECT_EQ(exit.signal(), 0);
}

TEST_F(RankProcessTest, ReportsWhatTheRankSaidOfItself) {
  auto rank = Start("fail:loss_is_nan");
  const v1::RankExit exit = WaitForExit(*rank);
  EXPECT_EQ(exit.exit_code(), 1);
  EXPECT_EQ(exit.status_code(), "OUT_OF_RANGE");
  EXPECT_EQ(exit.message(), "loss_is_nan");
}

TEST_F(RankProcessTest, EndsWhatARankLeavesBehind) {
  // As the worker does: orphans come to the nearest subreaper.
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  auto rank = Start("fork exit:0");
  const pid_t group = rank->pid();
  WaitForExit(*rank);
  EXPECT_FALSE(GroupIsAlive(group));
  ::prctl(PR_SET_CHILD_SUBREAPER, 0);
}

TEST_F(RankProcessTest, ItsSlotIsTakenUntilItsGroupIsGone) {
  auto rank = Start("fork drain");
  rank->Kill("a test");
  const pid_t group = rank->pid();
  const v1::RankExit exit = WaitForExit(*rank);
  EXPECT_THAT(exit.message(), HasSubstr("killed by the worker: a test"));
  EXPECT_EQ(exit.signal(), SIGKILL);
  EXPECT_FALSE(GroupIsAlive(group));
}

TEST_F(RankProcessTest, AProgramThatCannotBeStartedIsAnExitedRank) {
  options_.rank_binary = "/no/such/program";
  auto rank = Start("");
  ASSERT_TRUE(rank->exit().has_value());
  EXPECT_EQ(rank->exit()->exit_code(), 127);
  EXPECT_THAT(rank->exit()->message(), HasSubstr("/no/such/program"));
  // And is one for the next worker, too.
  auto adopted = RankProcess::Adopt(Folder());
  ASSERT_TRUE(adopted.ok()) << adopted.status();
  (*adopted)->Poll(absl::Now());
  EXPECT_EQ((*adopted)->exit()->exit_code(), 127);
}

TEST_F(RankProcessTest, AProgramThatIsNoneIsAnExitedRank) {
  const std::string file = ::testing::TempDir() + "not_a_program." + std::to_string(::getpid());
  std::ofstream(file) << "nonsense";
  std::filesystem::permissions(file, std::filesystem::perms::all);
  options_.rank_binary = file;
  auto rank = Start("");
  ASSERT_TRUE(rank->exit().has_value());
  EXPECT_THAT(rank->exit()->message(), HasSubstr(file));
}

TEST_F(RankProcessTest, RefusesAJobIdThatIsAPath) {
  launch_.set_job_uid("../../etc");
  auto rank = Start("");
  ASSERT_TRUE(rank->exit().has_value());
  EXPECT_EQ(rank->exit()->status_code(), "INVALID_ARGUMENT");
  EXPECT_EQ(rank->folder(), root_ + "/refused");
}

TEST_F(RankProcessTest, AdoptsARunningProcessAndSeesItsEnd) {
  auto first = Start("drain");
  const pid_t pid = first->pid();
  first.reset();
  // It listens after it has begun to watch for the signal.
  while (!std::filesystem::exists(Folder() + "/link.sock")) ::usleep(1000);
  auto adopted = RankProcess::Adopt(Folder());
  ASSERT_TRUE(adopted.ok()) << adopted.status();
  EXPECT_EQ((*adopted)->pid(), pid);
  EXPECT_EQ((*adopted)->slot(), 3);
  EXPECT_EQ((*adopted)->key(), (RankKey{"job", 2, 1}));
  (*adopted)->Poll(absl::Now());
  EXPECT_FALSE((*adopted)->exit().has_value());
  (*adopted)->Terminate();
  const v1::RankExit exit = WaitForExit(**adopted);
  EXPECT_EQ(exit.outcome(), v1::RANK_OUTCOME_DRAINED);
  ::waitpid(pid, nullptr, 0);
}

TEST_F(RankProcessTest, AnAdoptedProcessThatVanishedHasFailed) {
  auto first = Start("drain");
  ::kill(first->pid(), SIGKILL);
  ::waitpid(first->pid(), nullptr, 0);
  first.reset();
  auto adopted = RankProcess::Adopt(Folder());
  ASSERT_TRUE(adopted.ok()) << adopted.status();
  const v1::RankExit exit = WaitForExit(**adopted);
  EXPECT_EQ(exit.outcome(), v1::RANK_OUTCOME_FAILED);
  EXPECT_THAT(exit.message(), HasSubstr("vanished"));
}

TEST_F(RankProcessTest, APidThatIsAnothersIsNotAdopted) {
  auto first = Start("exit:0");
  WaitForExit(*first);
  std::filesystem::remove(Folder() + "/exit.pb");
  // The pid of this test, with a start time that is not its own.
  ProcessId id = *ProcessId::Of(::getpid());
  id.start_time -= 1;
  std::ofstream(Folder() + "/pid") << id.ToString();
  auto adopted = RankProcess::Adopt(Folder());
  ASSERT_TRUE(adopted.ok()) << adopted.status();
  const v1::RankExit exit = WaitForExit(**adopted);
  EXPECT_THAT(exit.message(), HasSubstr("vanished"));
}

TEST_F(RankProcessTest, EndsWithTheThreadThatStartedItWhereNoOtherWorkerComes) {
  for (const bool ends : {false, true}) {
    options_.ends_with_worker = ends;
    std::unique_ptr<RankProcess> rank;
    std::thread([&] { rank = Start("drain"); }).join();
    ASSERT_GT(rank->pid(), 1);
    if (!ends) {
      while (!std::filesystem::exists(Folder() + "/link.sock")) ::usleep(1000);
      rank->Terminate();
    }
    const v1::RankExit exit = WaitForExit(*rank);
    EXPECT_EQ(exit.signal(), ends ? SIGKILL : 0);
    rank.reset();
    std::filesystem::remove_all(root_);
  }
}

TEST_F(RankProcessTest, AFolderWithoutAProcessIsOfNoUse) {
  std::filesystem::create_directories(Folder());
  std::ofstream(Folder() + "/launch.pb") << launch_.SerializeAsString();
  EXPECT_EQ(RankProcess::Adopt(Folder()).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(RankProcessTest, AFolderThatMakesNoSenseIsRefused) {
  std::filesystem::create_directories(Folder());
  std::ofstream(Folder() + "/launch.pb") << "\xff\xff";
  std::ofstream(Folder() + "/pid") << "nonsense";
  EXPECT_EQ(RankProcess::Adopt(Folder()).status().code(), absl::StatusCode::kDataLoss);
}

TEST(ProcessTest, ANeverRecordedProgramNeverBegins) {
  const std::string file = ::testing::TempDir() + "never_begins." + std::to_string(::getpid());
  std::filesystem::remove(file);
  Spawn spawn;
  spawn.program = "/bin/touch";
  spawn.arguments = {file};
  spawn.output = STDERR_FILENO;
  const auto id =
      SpawnProcess(spawn, [](const ProcessId&) { return absl::InternalError("disk full"); });
  EXPECT_EQ(id.status().message(), "disk full");
  EXPECT_FALSE(std::filesystem::exists(file));
}

TEST(ProcessTest, IdentityRoundTrips) {
  const ProcessId id = *ProcessId::Of(::getpid());
  EXPECT_EQ(*ProcessId::Parse(id.ToString() + "\n"), id);
  for (const char* text : {"", "12", "1 2 x", "a b c", "12 34"}) {
    EXPECT_FALSE(ProcessId::Parse(text).ok()) << text;
  }
}

TEST(ProcessTest, TellsWhatAProcessUses) {
  const ProcessUsage usage = UsageOf(::getpid());
  EXPECT_GT(usage.rss_bytes, 1 << 20);
  EXPECT_EQ(UsageOf(0x3ffffff).rss_bytes, 0);
}

}  // namespace
}  // namespace ijepa::worker
