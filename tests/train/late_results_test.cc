// The loop on a learner whose results stay untaken for a step, as on a GPU: the same weights,
// reports and decisions, a step later.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "tests/fakes/faulty_learner.h"
#include "tests/fakes/toy_learner.h"
#include "tests/train/run_fixture.h"
#include "worker/jepa/train_run.h"

namespace jepa {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class LateResultsTest : public RunFixture {
 protected:
  static TrainParts Parts(bool late, const NonFiniteSteps& steps = {}) {
    TrainParts parts = ToyParts();
    parts.make_learner =
        [=](const TrainConfig& config) -> absl::StatusOr<std::unique_ptr<Learner>> {
      ToyFaults faults;
      faults.late_results = late;
      const bool faulty = config.rank == config.world_size - 1;
      return std::make_unique<FaultyLearner>(std::make_unique<ToyLearner>(config, faults),
                                             faulty ? steps : NonFiniteSteps());
    };
    return parts;
  }

  // Another one each time, inside of the test's.
  std::string OwnFolder() {
    const std::string folder = absl::StrCat(folder_, "/", ++folders_);
    EXPECT_TRUE(ijepa::MakeFolders(folder).ok());
    return folder;
  }

  // Runs `config` both ways, in folders of their own.
  std::pair<GangResult, GangResult> AtOnceAndLate(TrainConfig config,
                                                  const NonFiniteSteps& steps = {}) {
    config.checkpoint.folder = OwnFolder();
    GangResult at_once = RunGang(config, Parts(false, steps));
    config.checkpoint.folder = OwnFolder();
    GangResult late = RunGang(config, Parts(true, steps));
    for (const GangResult* result : {&at_once, &late}) {
      for (const auto& outcome : result->outcomes) EXPECT_TRUE(outcome.ok()) << outcome.status();
    }
    return {std::move(at_once), std::move(late)};
  }

  static void ExpectSameSteps(const MemoryHost& late, const MemoryHost& at_once) {
    ASSERT_EQ(late.steps.size(), at_once.steps.size());
    for (size_t i = 0; i < late.steps.size(); ++i) {
      EXPECT_EQ(late.steps[i].step, at_once.steps[i].step);
      EXPECT_EQ(late.steps[i].images_seen, at_once.steps[i].images_seen);
      EXPECT_EQ(late.steps[i].loss, at_once.steps[i].loss) << i;
      EXPECT_EQ(late.steps[i].gradient_norm, at_once.steps[i].gradient_norm) << i;
      EXPECT_EQ(late.steps[i].lr, at_once.steps[i].lr) << i;
      EXPECT_EQ(late.steps[i].non_finite_steps, at_once.steps[i].non_finite_steps) << i;
    }
  }

  // Every checkpoint of rank 0, byte for byte.
  static void ExpectSameCheckpoints(const GangResult& late, const GangResult& at_once) {
    const std::vector<std::string> ours = CommittedNewestFirst(late);
    const std::vector<std::string> theirs = CommittedNewestFirst(at_once);
    ASSERT_EQ(ours.size(), theirs.size());
    for (size_t i = 0; i < ours.size(); ++i) {
      EXPECT_EQ(TensorBytes(ours[i]), TensorBytes(theirs[i])) << ours[i];
    }
  }

 private:
  int folders_ = 0;
};

TEST_F(LateResultsTest, GiveTheSameReportsAndCheckpoints) {
  TrainConfig config = SmallConfig();
  config.world_size = 2;
  config.checkpoint.every_steps = 5;
  config.telemetry.every_steps = 4;
  const auto [at_once, late] = AtOnceAndLate(config);
  EXPECT_THAT(CommittedSteps(*late.hosts[0]), ElementsAre(5, 10, 15, 18));
  for (size_t rank = 0; rank < 2; ++rank) ExpectSameSteps(*late.hosts[rank], *at_once.hosts[rank]);
  ExpectSameCheckpoints(late, at_once);
  for (const StepReport& report : late.hosts[0]->steps) {
    const int64_t measured = report.step / 4 * 4;  // The newest measurement that was due.
    ASSERT_EQ(report.telemetry.has_value(), measured > 0) << report.step;
    if (measured > 0) {
      EXPECT_EQ(report.telemetry->step, measured);
    }
  }
}

TEST_F(LateResultsTest, SkipTheSameStepsOnEveryRank) {
  for (const NonFiniteSteps& steps :
       {NonFiniteSteps{.nan_gradient = {4, 5, 17}}, NonFiniteSteps{.nan_loss = {0, 4, 9}}}) {
    TrainConfig config = SmallConfig();
    config.world_size = 2;
    config.checkpoint.every_steps = 5;
    const auto [at_once, late] = AtOnceAndLate(config, steps);
    ExpectSameSteps(*late.hosts[0], *at_once.hosts[0]);
    ExpectSameCheckpoints(late, at_once);
    EXPECT_EQ(late.hosts[0]->CountNotes("NON_FINITE_SKIPPED"), 3);
  }
}

// The step after the bad one is done before that is known, and its update is lost with the others.
TEST_F(LateResultsTest, RollBackPassesTheStepUnderWayOverToo) {
  TrainConfig config = SmallConfig();
  config.world_size = 2;
  config.checkpoint.every_steps = 3;
  config.checkpoint.folder = OwnFolder();
  config.faults.non_finite = NonFiniteAction::kRollBack;
  const GangResult late = RunGang(config, Parts(true, {.nan_gradient = {6}}));
  ASSERT_TRUE(late.outcomes[0].ok()) << late.outcomes[0].status();
  ASSERT_EQ(late.hosts[0]->CountNotes("NON_FINITE_ROLLED_BACK"), 1);
  for (const RecordedNote& note : late.hosts[0]->notes()) {
    if (note.code != "NON_FINITE_ROLLED_BACK") continue;
    EXPECT_EQ(note.step, 7);
    EXPECT_THAT(note.message, HasSubstr("batches of steps 7 to 8 are passed over"));
  }
  // The same as a run that skips steps 7 and 8.
  config.checkpoint.folder = OwnFolder();
  config.faults.non_finite = NonFiniteAction::kSkip;
  const GangResult skipping = RunGang(config, Parts(false, {.nan_gradient = {6, 7}}));
  ExpectSameCheckpoints(late, skipping);
}

// What is saved is never a state whose last steps nobody has judged.
TEST_F(LateResultsTest, BadStepBeforeASaveIsJudgedBeforeIt) {
  TrainConfig config = SmallConfig();
  config.checkpoint.every_steps = 3;
  config.faults.non_finite = NonFiniteAction::kRollBack;
  const auto [at_once, late] = AtOnceAndLate(config, {.nan_gradient = {8}});
  ExpectSameSteps(*late.hosts[0], *at_once.hosts[0]);
  ExpectSameCheckpoints(late, at_once);
}

TEST_F(LateResultsTest, ExhaustedBudgetEndsEveryRankAfterTheReportsOfSoundSteps) {
  TrainConfig config = SmallConfig();
  config.world_size = 2;
  config.faults = {NonFiniteAction::kSkip, /*budget=*/1, /*window_steps=*/100};
  const GangResult result = RunGang(config, Parts(true, {.nan_gradient = {4, 8}}));
  for (const auto& outcome : result.outcomes) {
    EXPECT_EQ(outcome.status().code(), absl::StatusCode::kOutOfRange) << outcome.status();
    EXPECT_THAT(std::string(outcome.status().message()), HasSubstr("step 9"));
  }
  EXPECT_EQ(result.hosts[0]->steps.size(), 8u);
}

TEST_F(LateResultsTest, DrainStopsAllRanksAtOneStepWithACheckpointOfIt) {
  TrainConfig config = SmallConfig();
  config.world_size = 2;
  const GangResult result = RunGang(config, Parts(true), [](int rank, MemoryHost& host) {
    if (rank == 1) host.drain = [&host] { return host.steps.size() == 4; };
  });
  for (const auto& outcome : result.outcomes) {
    ASSERT_TRUE(outcome.ok()) << outcome.status();
    EXPECT_EQ(*outcome, TrainOutcome::kDrained);
  }
  // Four are reported while step 6 is made, whose successor is under way when its result is taken.
  EXPECT_THAT(CommittedSteps(*result.hosts[0]), ElementsAre(7));
  EXPECT_EQ(result.hosts[0]->steps.back().step, 7);
}

TEST_F(LateResultsTest, ResumedRunGivesTheBitsOfTheUninterruptedOne) {
  TrainConfig config = SmallConfig();
  config.checkpoint.every_steps = 7;
  const GangResult whole = RunGang(config, Parts(true));
  ASSERT_TRUE(whole.outcomes[0].ok()) << whole.outcomes[0].status();
  config.generation = 2;
  config.checkpoint.resume = {whole.hosts[0]->commits.at(0).path};
  const GangResult resumed = RunGang(config, Parts(true));
  ASSERT_TRUE(resumed.outcomes[0].ok()) << resumed.outcomes[0].status();
  EXPECT_EQ(TensorBytes(CommittedNewestFirst(resumed)[0]),
            TensorBytes(CommittedNewestFirst(whole)[0]));
}

}  // namespace
}  // namespace jepa
