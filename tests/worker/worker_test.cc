// The worker as a process, between a fake coordinator and fake ranks.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/file.h"
#include "tests/worker/fake_coordinator.h"
#include "tests/worker/worker_process.h"
#include "worker/daemon/process.h"

namespace ijepa::worker {
namespace {

using ::testing::HasSubstr;

const RankKey kRank = {"job", 1, 0};

v1::DesiredState Gang(const std::string& script, int64_t generation = 1,
                      const std::vector<int>& ranks = {0}) {
  v1::DesiredState state;
  v1::DesiredGang* gang = state.add_gangs();
  gang->set_job_uid("job");
  gang->set_generation(generation);
  for (const int rank : ranks) gang->add_ranks(rank);
  gang->mutable_launch()->set_world_size(static_cast<int>(ranks.size()));
  gang->mutable_launch()->mutable_spec()->set_name(script);
  return state;
}

class WorkerTest : public ::testing::Test {
 protected:
  WorkerTest() {
    std::filesystem::remove_all(root_);
    std::filesystem::create_directories(root_);
  }
  ~WorkerTest() override {
    worker_.reset();
    KillRanks(state_dir_);
    std::filesystem::remove_all(root_);
  }

  void StartCoordinator(FakeCoordinator::Options options = {}) {
    options.port = port_;
    coordinator_ = std::make_unique<FakeCoordinator>(options);
    ASSERT_NE(coordinator_->port(), 0);
    port_ = coordinator_->port();
  }
  std::vector<std::string> Arguments() const {
    return {"--coordinator",    absl::StrCat("127.0.0.1:", port_),
            "--state-dir",      state_dir_,
            "--rank-binary",    FAKE_RANK,
            "--metrics-listen", "127.0.0.1:0",
            "--node",           "n1",
            "--slots",          "2"};
  }
  void StartWorker(const std::vector<std::string>& more = {}) {
    std::vector<std::string> arguments = Arguments();
    arguments.insert(arguments.end(), more.begin(), more.end());
    worker_ = std::make_unique<WorkerProcess>(arguments);
  }
  bool WaitFor(const std::function<bool(const Seen&)>& condition) {
    return coordinator_->WaitFor(condition);
  }
  bool WaitForPhase(const RankKey& key, v1::RankPhase phase) {
    return WaitFor([&](const Seen& seen) { return seen.Status(key).phase() == phase; });
  }
  v1::RankStatus Status(const RankKey& key = kRank) { return coordinator_->seen().Status(key); }
  // Lets scripts go on that wait for the file.
  std::string File(const std::string& name) const { return root_ + "/" + name; }
  void Touch(const std::string& name) const { std::ofstream(File(name)) << "."; }

  const std::string root_ = ::testing::TempDir() + "worker_test." + std::to_string(::getpid());
  const std::string state_dir_ = root_ + "/state";
  int port_ = 0;
  std::unique_ptr<FakeCoordinator> coordinator_;
  std::unique_ptr<WorkerProcess> worker_;
};

TEST_F(WorkerTest, SaysWhatItOffers) {
  StartCoordinator();
  StartWorker();
  ASSERT_TRUE(WaitFor([](const Seen& seen) { return seen.reports >= 3; }));
  const v1::Hello hello = coordinator_->seen().hello;
  EXPECT_EQ(hello.info().node(), "n1");
  EXPECT_EQ(hello.info().slots(), 2);
  EXPECT_FALSE(hello.incarnation().empty());
  const auto about = nlohmann::json::parse(std::ifstream(state_dir_ + "/worker.json"));
  EXPECT_EQ(about["pid"], worker_->pid());
  EXPECT_EQ(about["metrics_address"], hello.info().metrics_address());
  EXPECT_THAT(hello.info().metrics_address(), HasSubstr("127.0.0.1:"));
}

TEST_F(WorkerTest, RunsAGangToItsEndAndForgetsItWhenItIsNotWanted) {
  StartCoordinator();
  StartWorker();
  coordinator_->Want(Gang("step:1 note:RESUMED commit:1 probe:1 step:2", 1, {0, 1}));
  for (const int rank : {0, 1}) {
    const RankKey key = {"job", 1, rank};
    ASSERT_TRUE(WaitForPhase(key, v1::RANK_PHASE_EXITED));
    EXPECT_EQ(Status(key).exit().outcome(), v1::RANK_OUTCOME_COMPLETED);
    EXPECT_EQ(Status(key).step(), 2);
    EXPECT_TRUE(coordinator_->seen().HasNote(key, "RESUMED"));
    EXPECT_THAT(coordinator_->seen().logs[key], HasSubstr("committed 1"));
  }
  coordinator_->Want({});
  EXPECT_TRUE(WaitFor([](const Seen& seen) {
    return seen.report.ranks_size() == 0 && seen.report.observed_revision() == 2;
  }));
  EXPECT_TRUE(std::filesystem::is_empty(state_dir_ + "/ranks"));
}

TEST_F(WorkerTest, ReportsARankThatWasKilled) {
  StartCoordinator();
  StartWorker();
  coordinator_->Want(Gang("log:3 step:5 drain"));
  ASSERT_TRUE(WaitForPhase(kRank, v1::RANK_PHASE_TRAINING));
  ::kill(static_cast<pid_t>(Status().pid()), SIGKILL);
  ASSERT_TRUE(WaitForPhase(kRank, v1::RANK_PHASE_EXITED));
  const v1::RankExit exit = Status().exit();
  EXPECT_EQ(exit.outcome(), v1::RANK_OUTCOME_FAILED);
  EXPECT_EQ(exit.signal(), SIGKILL);
  EXPECT_EQ(exit.last_step(), 5);
  EXPECT_THAT(exit.log_tail(), ::testing::Contains("line 2"));
}

TEST_F(WorkerTest, AKilledWorkersRanksAreAdoptedByTheNext) {
  StartCoordinator();
  StartWorker();
  coordinator_->Want(Gang(absl::StrCat("step:1 wait:", File("go"), " note:AFTER step:2 commit:2")));
  ASSERT_TRUE(WaitForPhase(kRank, v1::RANK_PHASE_TRAINING));
  const int64_t pid = Status().pid();
  worker_->Stop(SIGKILL);
  StartWorker();
  ASSERT_TRUE(WaitFor([](const Seen& seen) { return seen.hellos == 2; }));
  ASSERT_TRUE(WaitForPhase(kRank, v1::RANK_PHASE_TRAINING));
  EXPECT_EQ(Status().pid(), pid);
  Touch("go");
  ASSERT_TRUE(WaitForPhase(kRank, v1::RANK_PHASE_EXITED));
  EXPECT_EQ(Status().exit().outcome(), v1::RANK_OUTCOME_COMPLETED);
  EXPECT_TRUE(coordinator_->seen().HasNote(kRank, "AFTER"));
}

TEST_F(WorkerTest, WhatRanksLeftWhileNoWorkerRanIsEndedByTheNext) {
  StartCoordinator();
  StartWorker();
  ASSERT_TRUE(WaitFor([](const Seen& seen) { return seen.reports >= 1; }));
  const auto about = nlohmann::json::parse(std::ifstream(state_dir_ + "/worker.json"));
  const std::string base = about["cgroup"];
  // Before anything is left behind: without control groups nobody ends it.
  if (base.empty()) GTEST_SKIP() << "needs a writable cgroup2 with cgroup.kill";
  coordinator_->Want(Gang("leave step:1 drain"));
  ASSERT_TRUE(WaitForPhase(kRank, v1::RANK_PHASE_TRAINING));
  const std::string group = base + "/job.g1.r0";
  const pid_t pid = static_cast<pid_t>(Status().pid());
  worker_->Stop(SIGKILL);
  ::kill(pid, SIGKILL);
  ASSERT_TRUE(std::filesystem::exists(group));
  std::filesystem::create_directory(base + "/stray");
  StartWorker();
  ASSERT_TRUE(WaitForPhase(kRank, v1::RANK_PHASE_EXITED));
  EXPECT_FALSE(std::filesystem::exists(group)) << "it goes once nothing lives in it";
  EXPECT_FALSE(std::filesystem::exists(base + "/stray"));
  worker_->Stop(SIGINT);
  EXPECT_FALSE(std::filesystem::exists(base)) << "no rank is left in it";
}

TEST_F(WorkerTest, ARankThatEndsWithoutAWorkerIsReportedByTheNext) {
  StartCoordinator();
  StartWorker();
  coordinator_->Want(Gang(absl::StrCat("step:1 wait:", File("go"), " fail:bad_loss")));
  ASSERT_TRUE(WaitForPhase(kRank, v1::RANK_PHASE_TRAINING));
  const pid_t pid = static_cast<pid_t>(Status().pid());
  worker_->Stop(SIGINT);
  ASSERT_EQ(::kill(pid, 0), 0) << "SIGINT of the worker must leave ranks alone";
  Touch("go");
  while (!std::filesystem::exists(state_dir_ + "/ranks/job.g1.r0/exit.pb")) ::usleep(1000);
  StartWorker();
  ASSERT_TRUE(WaitForPhase(kRank, v1::RANK_PHASE_EXITED));
  EXPECT_EQ(Status().exit().message(), "bad_loss");
}

TEST_F(WorkerTest, ANewGenerationTakesThePlaceOfTheOld) {
  StartCoordinator();
  StartWorker();
  coordinator_->Want(Gang("step:1 drain"));
  ASSERT_TRUE(WaitForPhase(kRank, v1::RANK_PHASE_TRAINING));
  const pid_t old = static_cast<pid_t>(Status().pid());
  coordinator_->Want(Gang("step:1 drain", 2));
  ASSERT_TRUE(WaitForPhase({"job", 2, 0}, v1::RANK_PHASE_TRAINING));
  EXPECT_FALSE(GroupIsAlive(old));
}

TEST_F(WorkerTest, AStaleGenerationIsKilledAfterARestart) {
  StartCoordinator();
  StartWorker();
  coordinator_->Want(Gang("step:1 drain"));
  ASSERT_TRUE(WaitForPhase(kRank, v1::RANK_PHASE_TRAINING));
  const pid_t old = static_cast<pid_t>(Status().pid());
  worker_->Stop(SIGKILL);
  coordinator_->Want(Gang("step:1 drain", 2));
  StartWorker();
  ASSERT_TRUE(WaitForPhase({"job", 2, 0}, v1::RANK_PHASE_TRAINING));
  EXPECT_FALSE(GroupIsAlive(old));
}

TEST_F(WorkerTest, ADrainedRankSavesAndStops) {
  StartCoordinator();
  StartWorker();
  v1::DesiredState state = Gang("step:1 drain commit:1");
  coordinator_->Want(state);
  ASSERT_TRUE(WaitForPhase(kRank, v1::RANK_PHASE_TRAINING));
  state.mutable_gangs(0)->mutable_drain()->set_reason("CANCEL");
  coordinator_->Want(state);
  ASSERT_TRUE(WaitForPhase(kRank, v1::RANK_PHASE_EXITED));
  EXPECT_EQ(Status().exit().outcome(), v1::RANK_OUTCOME_DRAINED);
}

TEST_F(WorkerTest, SignalsThatDrainLetRanksSaveAndEndTheWorker) {
  for (const int signal : {SIGTERM, SIGUSR1}) {
    const int64_t generation = signal;
    const RankKey key = {"job", generation, 0};
    if (coordinator_ == nullptr) StartCoordinator();
    StartWorker();
    coordinator_->Want(Gang("step:1 drain commit:1", generation));
    ASSERT_TRUE(WaitForPhase(key, v1::RANK_PHASE_TRAINING));
    ::kill(worker_->pid(), signal);
    ASSERT_TRUE(WaitForPhase(key, v1::RANK_PHASE_EXITED));
    EXPECT_TRUE(coordinator_->seen().report.draining());
    coordinator_->Want({});
    EXPECT_EQ(worker_->Wait(), 0);
    EXPECT_FALSE(
        std::filesystem::exists(absl::StrCat(state_dir_, "/ranks/", key.ToString(), "/pid")))
        << "its end was told before the worker ended";
  }
}

TEST_F(WorkerTest, ARankThatDoesNotSaveInTimeIsKilledAtTheDeadlineOfTheDrain) {
  StartCoordinator();
  StartWorker({"--drain-seconds", "0.2"});
  coordinator_->Want(Gang(absl::StrCat("step:1 wait:", File("never"))));
  ASSERT_TRUE(WaitForPhase(kRank, v1::RANK_PHASE_TRAINING));
  ::kill(worker_->pid(), SIGTERM);
  ASSERT_TRUE(WaitForPhase(kRank, v1::RANK_PHASE_EXITED));
  EXPECT_THAT(Status().exit().message(), HasSubstr("deadline of the drain"));
}

TEST_F(WorkerTest, StacksOfAllThreadsGoToTheLogOfTheRank) {
  StartCoordinator();
  StartWorker();
  v1::DesiredState state = Gang(absl::StrCat("step:1 wait:", File("go")));
  coordinator_->Want(state);
  ASSERT_TRUE(WaitForPhase(kRank, v1::RANK_PHASE_TRAINING));
  state.mutable_gangs(0)->set_collect_stacks(true);
  coordinator_->Want(state);
  ASSERT_TRUE(WaitFor([](const Seen& seen) {
    return seen.report.ranks_size() == 1 && seen.report.ranks(0).stacks_collected();
  }));
  const std::string log = *ReadFile(state_dir_ + "/ranks/job.g1.r0/log.txt");
  EXPECT_THAT(log, HasSubstr("stacks of process"));
  EXPECT_THAT(log, HasSubstr("fake_rank state S"));
  const std::string pid = absl::StrCat(Status().pid());
  EXPECT_THAT(log, HasSubstr(absl::StrCat("stack of thread ", pid, "\n"))) << "the main thread";
  EXPECT_GE(std::vector<std::string>(absl::StrSplit(log, "stack of thread ")).size(), 3u)
      << "the link's thread, too";
  Touch("go");
  ASSERT_TRUE(WaitForPhase(kRank, v1::RANK_PHASE_EXITED));
  EXPECT_EQ(Status().exit().outcome(), v1::RANK_OUTCOME_COMPLETED) << "it goes on afterwards";
}

TEST_F(WorkerTest, AStoppedRankIsDescribedFromOutside) {
  StartCoordinator();
  StartWorker();
  v1::DesiredState state = Gang(absl::StrCat("step:1 wait:", File("never")));
  coordinator_->Want(state);
  ASSERT_TRUE(WaitForPhase(kRank, v1::RANK_PHASE_TRAINING));
  const std::string process = absl::StrCat("/proc/", Status().pid(), "/stat");
  ::kill(static_cast<pid_t>(Status().pid()), SIGSTOP);
  while (!absl::StrContains(*ReadFile(process), ") T ")) ::usleep(1000);
  state.mutable_gangs(0)->set_collect_stacks(true);
  coordinator_->Want(state);
  ASSERT_TRUE(WaitFor([](const Seen& seen) {
    return seen.report.ranks_size() == 1 && seen.report.ranks(0).stacks_collected();
  }));
  EXPECT_THAT(*ReadFile(state_dir_ + "/ranks/job.g1.r0/log.txt"), HasSubstr("fake_rank state T"));
}

TEST_F(WorkerTest, ADrainEndsAtItsDeadline) {
  StartCoordinator();
  StartWorker();
  v1::DesiredState state = Gang(absl::StrCat("step:1 wait:", File("never")));
  coordinator_->Want(state);
  ASSERT_TRUE(WaitForPhase(kRank, v1::RANK_PHASE_TRAINING));
  state.mutable_gangs(0)->mutable_drain()->mutable_deadline()->set_seconds(1);
  coordinator_->Want(state);
  ASSERT_TRUE(WaitForPhase(kRank, v1::RANK_PHASE_EXITED));
  EXPECT_THAT(Status().exit().message(), HasSubstr("deadline of the drain"));
}

TEST_F(WorkerTest, TrainingGoesOnWhileTheCoordinatorIsAway) {
  StartCoordinator();
  StartWorker();
  coordinator_->Want(Gang(absl::StrCat("step:1 wait:", File("go"), " step:2 note:AWAY commit:2")));
  ASSERT_TRUE(WaitForPhase(kRank, v1::RANK_PHASE_TRAINING));
  const int64_t pid = Status().pid();
  coordinator_.reset();
  Touch("go");
  FakeCoordinator::Options again;
  again.epoch = 2;
  StartCoordinator(again);
  ASSERT_TRUE(WaitForPhase(kRank, v1::RANK_PHASE_EXITED));
  EXPECT_EQ(Status().pid(), pid);
  EXPECT_EQ(Status().exit().outcome(), v1::RANK_OUTCOME_COMPLETED);
  EXPECT_TRUE(coordinator_->seen().HasNote(kRank, "AWAY"));
  EXPECT_EQ(coordinator_->seen().hello.coordinator_epoch(), 1);
}

TEST_F(WorkerTest, ACoordinatorThatSaysNothingIsAskedAgainOnANewStream) {
  FakeCoordinator::Options options;
  options.acknowledge_reports = false;  // As if the network took its words.
  StartCoordinator(options);
  StartWorker();
  EXPECT_TRUE(WaitFor([](const Seen& seen) { return seen.hellos >= 2; }));
}

TEST_F(WorkerTest, AStaleCoordinatorIsRefused) {
  FakeCoordinator::Options options;
  options.epoch = 5;
  StartCoordinator(options);
  StartWorker();
  coordinator_->Want(Gang("step:1 drain"));
  ASSERT_TRUE(WaitForPhase(kRank, v1::RANK_PHASE_TRAINING));
  const pid_t pid = static_cast<pid_t>(Status().pid());
  coordinator_.reset();
  options.epoch = 4;
  StartCoordinator(options);
  coordinator_->Want({});
  // It is tried again and again, and its wish to stop the rank is not heard.
  ASSERT_TRUE(WaitFor([](const Seen& seen) { return seen.hellos >= 3; }));
  EXPECT_EQ(::kill(pid, 0), 0);
  EXPECT_EQ(coordinator_->seen().reports, 0);
}

TEST_F(WorkerTest, LogsAreCompleteAndInOrderOverRestarts) {
  StartCoordinator();
  StartWorker();
  coordinator_->Want(Gang(
      absl::StrCat("log:20000 wait:", File("a"), " log:20000 wait:", File("b"), " log:20000")));
  const auto longer = [](size_t bytes) {
    return [bytes](const Seen& seen) {
      const auto it = seen.logs.find(kRank);
      return it != seen.logs.end() && it->second.size() > bytes;
    };
  };
  ASSERT_TRUE(WaitFor(longer(100000)));
  worker_->Stop(SIGKILL);
  Touch("a");
  StartWorker();
  ASSERT_TRUE(WaitFor(longer(300000)));
  FakeCoordinator::Options options;
  options.epoch = 2;
  options.logs = coordinator_->seen().logs;
  coordinator_.reset();
  Touch("b");
  StartCoordinator(options);
  std::string expected;
  for (int part = 0; part < 3; ++part) {
    for (int i = 0; i < 20000; ++i) absl::StrAppend(&expected, "line ", i, "\n");
  }
  // What the coordinator stored between the copy of its logs and its end is lost to the next one,
  // and is sent again. Lines about the lost worker are among those of the script.
  EXPECT_TRUE(WaitFor([&](const Seen& seen) {
    const auto it = seen.logs.find(kRank);
    if (it == seen.logs.end() || it->second.size() < expected.size()) return false;
    std::string log;
    for (absl::string_view line : absl::StrSplit(it->second, '\n', absl::SkipEmpty())) {
      if (!absl::StrContains(line, "ijepa]")) absl::StrAppend(&log, line, "\n");
    }
    return log == expected;
  }));
}

TEST_F(WorkerTest, AnExitedRankIsKeptUntilItsLogIsStored) {
  FakeCoordinator::Options options;
  options.acknowledge_logs = false;
  StartCoordinator(options);
  StartWorker();
  coordinator_->Want(Gang("log:10"));
  ASSERT_TRUE(WaitForPhase(kRank, v1::RANK_PHASE_EXITED));
  coordinator_->Want({});
  ASSERT_TRUE(WaitFor([](const Seen& seen) { return seen.report.observed_revision() == 2; }));
  const int reports = coordinator_->seen().reports;
  ASSERT_TRUE(WaitFor([&](const Seen& seen) { return seen.reports > reports + 5; }));
  EXPECT_EQ(Status().phase(), v1::RANK_PHASE_EXITED);
  options.epoch = 2;
  options.acknowledge_logs = true;
  coordinator_.reset();
  StartCoordinator(options);
  EXPECT_TRUE(
      WaitFor([](const Seen& seen) { return seen.reports > 0 && seen.report.ranks_size() == 0; }));
}

TEST_F(WorkerTest, RanksOfANodeMeetWithoutTheCoordinatorsAnswers) {
  FakeCoordinator::Options options;
  options.answer_ranks = false;
  StartCoordinator(options);
  StartWorker();
  v1::DesiredState state = Gang("get:id", 1, {1});
  coordinator_->Want(state);
  ASSERT_TRUE(WaitForPhase({"job", 1, 1}, v1::RANK_PHASE_STARTING));
  state.mutable_gangs(0)->add_ranks(0);
  state.mutable_gangs(0)->mutable_launch()->mutable_spec()->set_name("put:id=secret get:id");
  coordinator_->Want(state);
  ASSERT_TRUE(WaitForPhase({"job", 1, 1}, v1::RANK_PHASE_EXITED));
  EXPECT_TRUE(WaitFor([](const Seen& seen) {
    const auto it = seen.logs.find({"job", 1, 1});
    return it != seen.logs.end() && it->second.find("got id=secret") != std::string::npos;
  }));
}

TEST_F(WorkerTest, ARestartedCoordinatorGetsRendezvousValuesAgain) {
  StartCoordinator();
  StartWorker();
  coordinator_->Want(Gang("put:id=secret step:1 drain"));
  ASSERT_TRUE(WaitForPhase(kRank, v1::RANK_PHASE_TRAINING));
  coordinator_.reset();
  FakeCoordinator::Options options;
  options.epoch = 2;
  StartCoordinator(options);
  EXPECT_TRUE(WaitFor([](const Seen& seen) { return seen.values.contains("id"); }));
}

TEST_F(WorkerTest, RanksStopWhenNoCoordinatorComesBackInTime) {
  FakeCoordinator::Options options;
  options.reattach_window_seconds = 0.5;
  StartCoordinator(options);
  StartWorker();
  coordinator_->Want(Gang("step:1 drain"));
  ASSERT_TRUE(WaitForPhase(kRank, v1::RANK_PHASE_TRAINING));
  coordinator_.reset();
  while (!std::filesystem::exists(state_dir_ + "/ranks/job.g1.r0/exit.pb")) ::usleep(1000);
  options.epoch = 2;
  StartCoordinator(options);
  ASSERT_TRUE(WaitForPhase(kRank, v1::RANK_PHASE_EXITED));
  EXPECT_EQ(Status().exit().outcome(), v1::RANK_OUTCOME_DRAINED);
}

v1::DesiredState OverWith(int exit_code) {
  v1::DesiredState over;
  over.set_allocation_over(true);
  over.set_exit_code(exit_code);
  return over;
}

TEST_F(WorkerTest, AWorkerOfAnAllocationEndsWithItAndLeavesNothing) {
  StartCoordinator();
  StartWorker({"--allocation", "job:1:host"});
  ASSERT_TRUE(WaitFor([](const Seen& seen) { return seen.hellos == 1; }));
  EXPECT_EQ(coordinator_->seen().hello.info().allocation().host(), "host");
  coordinator_->Want(OverWith(0));
  EXPECT_EQ(WEXITSTATUS(worker_->Wait()), 0);
  EXPECT_FALSE(std::filesystem::exists(state_dir_));
}

// As the mount point of a pod, which no rmdir takes.
TEST_F(WorkerTest, AStateFolderThatCannotGoIsNoFailureOfTheAttempt) {
  StartCoordinator();
  std::vector<std::string> arguments = Arguments();
  *std::find(arguments.begin(), arguments.end(), state_dir_) += "/.";
  arguments.insert(arguments.end(), {"--allocation", "job:1:host"});
  worker_ = std::make_unique<WorkerProcess>(arguments);
  ASSERT_TRUE(WaitFor([](const Seen& seen) { return seen.hellos == 1; }));
  coordinator_->Want(OverWith(0));
  EXPECT_EQ(WEXITSTATUS(worker_->Wait()), 0);
  EXPECT_TRUE(std::filesystem::is_empty(state_dir_));
}

TEST_F(WorkerTest, AWorkerOfAnAllocationEndsWhenNoCoordinatorComesBackInTime) {
  FakeCoordinator::Options options;
  options.reattach_window_seconds = 0.3;
  StartCoordinator(options);
  StartWorker({"--allocation", "job:1:host"});
  coordinator_->Want(Gang("step:1 drain"));
  ASSERT_TRUE(WaitForPhase(kRank, v1::RANK_PHASE_TRAINING));
  coordinator_.reset();
  EXPECT_EQ(WEXITSTATUS(worker_->Wait()), 1) << "what holds the slots is told to end";
}

TEST_F(WorkerTest, ASecondWorkerOnTheSameFolderIsRefused) {
  StartCoordinator();
  StartWorker();
  ASSERT_TRUE(WaitFor([](const Seen& seen) { return seen.hellos == 1; }));
  WorkerProcess second(Arguments());
  EXPECT_EQ(WEXITSTATUS(second.Wait()), 1);
}

TEST_F(WorkerTest, BadFlagsAreOneLineAndCodeTwo) {
  EXPECT_EQ(WEXITSTATUS(WorkerProcess({"--no-such-flag"}).Wait()), 2);
  EXPECT_EQ(WEXITSTATUS(WorkerProcess({"--coordinator", "x"}).Wait()), 2);
  EXPECT_EQ(WEXITSTATUS(WorkerProcess({"--version"}).Wait()), 0);
}

}  // namespace
}  // namespace ijepa::worker
