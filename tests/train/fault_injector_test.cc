// What each kind of injected fault does, and when; faults that end or stop the process are tried on
// real ranks in tests/integration.
#include "worker/jepa/fault_injector.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <filesystem>

#include "run_fixture.h"
#include "worker/jepa/checkpoint/checkpoint.h"

namespace jepa {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TrainConfig ConfigWith(const std::vector<InjectedFault>& faults, int rank = 0,
                       int64_t generation = 1) {
  TrainConfig config;
  config.rank = rank;
  config.generation = generation;
  config.faults.inject = faults;
  return config;
}

struct Seen {
  std::vector<int> signals;
  int hangs = 0;
  absl::Duration slept;

  FaultActions Actions() {
    FaultActions actions;
    actions.raise = [this](int signal) { signals.push_back(signal); };
    actions.hang = [this] { ++hangs; };
    actions.sleep = [this](absl::Duration time) { slept += time; };
    return actions;
  }
};

TEST(FaultInjectorTest, SignalsStrikeInTheirStepAlone) {
  Seen seen;
  FaultInjector injector(ConfigWith({{.kind = FaultKind::kKill, .step = 3},
                                     {.kind = FaultKind::kSegfault, .step = 4},
                                     {.kind = FaultKind::kStop, .step = 5},
                                     {.kind = FaultKind::kDeadlock, .step = 6}}),
                         seen.Actions());
  for (int64_t step = 1; step <= 5; ++step) injector.BeforeStep(step);
  EXPECT_THAT(seen.signals, ElementsAre(SIGKILL, SIGSEGV, SIGSTOP));
  EXPECT_EQ(seen.hangs, 0);
  injector.BeforeStep(6);
  EXPECT_EQ(seen.hangs, 1);
}

TEST(FaultInjectorTest, StrikesItsRankInItsAttemptOnly) {
  const std::vector<InjectedFault> faults = {
      {.kind = FaultKind::kKill, .rank = 1, .step = 3, .attempt = 2},
      {.kind = FaultKind::kStop, .rank = 1, .step = 3, .attempt = 0}};
  const auto signals = [&](int rank, int64_t generation) {
    Seen seen;
    FaultInjector(ConfigWith(faults, rank, generation), seen.Actions()).BeforeStep(3);
    return seen.signals;
  };
  EXPECT_THAT(signals(0, 2), ElementsAre());
  EXPECT_THAT(signals(1, 1), ElementsAre(SIGSTOP));
  EXPECT_THAT(signals(1, 2), ElementsAre(SIGKILL, SIGSTOP));
  EXPECT_THAT(signals(1, 3), ElementsAre(SIGSTOP));
}

TEST(FaultInjectorTest, SlowStretchesTheWorkOfItsSteps) {
  Seen seen;
  const FaultInjector injector(
      ConfigWith({{.kind = FaultKind::kSlow, .step = 2, .steps = 3, .factor = 2.5}}),
      seen.Actions());
  for (int64_t step = 1; step <= 6; ++step) injector.AfterWork(step, absl::Seconds(2));
  EXPECT_EQ(seen.slept, absl::Seconds(3 * 3));
}

class FaultedRunTest : public RunFixture {};

TEST_F(FaultedRunTest, NanOfOneRankIsBorneByAll) {
  TrainConfig config = SmallConfig();
  config.world_size = 2;
  config.faults.inject = {{.kind = FaultKind::kNan, .rank = 1, .step = 4, .steps = 2}};
  const GangResult result = RunGang(config, ToyParts());
  ASSERT_TRUE(result.outcomes[0].ok()) << result.outcomes[0].status();
  EXPECT_EQ(result.hosts[0]->CountNotes("NON_FINITE_SKIPPED"), 2);
}

TEST_F(FaultedRunTest, FailedWritesEndTheRunWithTheirCause) {
  for (const auto& [kind, code] :
       {std::pair{FaultKind::kNoSpace, absl::StatusCode::kResourceExhausted},
        std::pair{FaultKind::kIoError, absl::StatusCode::kDataLoss}}) {
    TrainConfig config = SmallConfig();
    config.world_size = 2;
    config.checkpoint.every_steps = 6;
    config.faults.inject = {{.kind = kind, .rank = 1, .step = 7}};
    const GangResult result = RunGang(config, ToyParts());
    EXPECT_EQ(result.outcomes[1].status().code(), code) << result.outcomes[1].status();
    EXPECT_THAT(std::string(result.outcomes[1].status().message()),
                HasSubstr("checkpoint of step 12"));
    EXPECT_THAT(CommittedSteps(*result.hosts[0]), ElementsAre(6));
    std::filesystem::remove_all(config.checkpoint.folder);
  }
}

TEST_F(FaultedRunTest, ATornCheckpointIsCommittedAndRefusedByItsReaders) {
  TrainConfig config = SmallConfig();
  config.checkpoint.every_steps = 6;
  config.faults.inject = {{.kind = FaultKind::kTornCheckpoint, .step = 7}};
  const GangResult result = RunGang(config, ToyParts());
  ASSERT_TRUE(result.outcomes[0].ok()) << result.outcomes[0].status();
  const std::vector<std::string> newest_first = CommittedNewestFirst(result);
  ASSERT_THAT(CommittedSteps(*result.hosts[0]), ElementsAre(6, 12, 18));
  EXPECT_TRUE(CheckpointReader::Open(newest_first[2]).ok());
  EXPECT_EQ(CheckpointReader::Open(newest_first[1]).status().code(), absl::StatusCode::kDataLoss);
  config.generation = 2;
  config.checkpoint.resume = {newest_first[1], newest_first[2]};
  const GangResult again = RunGang(config, ToyParts());
  ASSERT_TRUE(again.outcomes[0].ok()) << again.outcomes[0].status();
  EXPECT_EQ(again.hosts[0]->CountNotes("CHECKPOINT_UNUSABLE"), 1);
  EXPECT_EQ(again.hosts[0]->CountNotes("RESUMED"), 1);
}

TEST_F(FaultedRunTest, EveryRankReportsItsOwnWorkApartFromItsWaiting) {
  TrainConfig config = SmallConfig();
  config.world_size = 2;
  double last = 0;
  const GangResult result = RunGang(config, ToyParts(), [&](int rank, MemoryHost& host) {
    if (rank != 1) return;
    host.on_step = [&](const StepReport& report) {
      EXPECT_GT(report.compute_seconds, last) << "step " << report.step;
      EXPECT_GE(report.peer_wait_seconds, 0);
      last = report.compute_seconds;
    };
  });
  ASSERT_TRUE(result.outcomes[1].ok()) << result.outcomes[1].status();
}

}  // namespace
}  // namespace jepa
