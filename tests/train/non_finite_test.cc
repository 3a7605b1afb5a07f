// Steps that are not finite: each policy, its budget, and what stays untouched.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/file.h"
#include "tests/fakes/faulty_learner.h"
#include "tests/fakes/toy_learner.h"
#include "tests/train/run_fixture.h"
#include "worker/jepa/non_finite_policy.h"
#include "worker/jepa/train_run.h"

namespace jepa {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(NonFinitePolicyTest, BearsTheBudgetWithinTheWindowAndThenFails) {
  NonFinitePolicy policy({NonFiniteAction::kSkip, /*budget=*/2, /*window_steps=*/10});
  EXPECT_EQ(policy.Take(1, "the loss is nan"), NonFiniteAction::kSkip);
  EXPECT_EQ(policy.Take(5, "the loss is nan"), NonFiniteAction::kSkip);
  // Step 1 has left the window of the ten steps 2 to 11.
  EXPECT_EQ(policy.Take(11, "the loss is inf"), NonFiniteAction::kSkip);
  EXPECT_EQ(policy.Take(14, "the loss is nan"), NonFiniteAction::kFail);
  EXPECT_THAT(policy.History(), AllOf(HasSubstr("step 5: the loss is nan"),
                                      HasSubstr("step 11: the loss is inf"), HasSubstr("step 14")));
  EXPECT_EQ(policy.taken(), 4);
}

TEST(NonFinitePolicyTest, WithoutABudgetTheFirstStepFails) {
  NonFinitePolicy policy({NonFiniteAction::kRollBack, 0, 10});
  EXPECT_EQ(policy.Take(1, "the loss is nan"), NonFiniteAction::kFail);
  NonFinitePolicy fail({NonFiniteAction::kFail, 100, 10});
  EXPECT_EQ(fail.Take(1, "the loss is nan"), NonFiniteAction::kFail);
}

TEST(NonFinitePolicyTest, NamesTheNewestFewOfMany) {
  NonFinitePolicy policy({NonFiniteAction::kSkip, 100, 1000});
  for (int step = 1; step <= 20; ++step) policy.Take(step, "the loss is nan");
  EXPECT_THAT(policy.History(), AllOf(HasSubstr("15 before; step 16:"), HasSubstr("step 20:")));
}

class NonFiniteTest : public RunFixture {
 protected:
  // The toy learner, faulty on the last rank only.
  static TrainParts Parts(const NonFiniteSteps& steps) {
    TrainParts parts = ToyParts();
    parts.make_learner =
        [steps](const TrainConfig& config) -> absl::StatusOr<std::unique_ptr<Learner>> {
      const bool faulty = config.rank == config.world_size - 1;
      return std::make_unique<FaultyLearner>(std::make_unique<ToyLearner>(config, ToyFaults()),
                                             faulty ? steps : NonFiniteSteps());
    };
    return parts;
  }

  // The tensors after `steps` steps, saved every step, of a run that completed.
  static std::vector<std::string> StateAfterEachStep(const GangResult& result) {
    std::vector<std::string> states;
    for (const CheckpointInfo& commit : result.hosts[0]->commits) {
      states.push_back(TensorBytes(commit.path));
    }
    return states;
  }

  static std::vector<int64_t> NotedSteps(const GangResult& result, const std::string& code) {
    std::vector<int64_t> steps;
    for (const RecordedNote& note : result.hosts[0]->notes()) {
      if (note.code == code) steps.push_back(note.step);
    }
    return steps;
  }
};

TEST_F(NonFiniteTest, SkippedStepLeavesWeightsMomentsAndTargetBitEqual) {
  for (const NonFiniteSteps& steps :
       {NonFiniteSteps{.nan_gradient = {4}}, NonFiniteSteps{.infinite_gradient = {4}},
        NonFiniteSteps{.nan_loss = {4}}}) {
    TrainConfig config = SmallConfig();
    config.world_size = 2;
    config.checkpoint.every_steps = 1;
    config.checkpoint.folder = NewFolder();
    const GangResult result = RunGang(config, Parts(steps));
    ASSERT_TRUE(result.outcomes[0].ok()) << result.outcomes[0].status();
    ASSERT_TRUE(result.outcomes[1].ok()) << result.outcomes[1].status();
    const std::vector<std::string> states = StateAfterEachStep(result);
    ASSERT_EQ(states.size(), 18u);
    EXPECT_EQ(states[3], states[4]) << "step 5 made an update";
    EXPECT_NE(states[4], states[5]) << "step 6 made none";
    EXPECT_THAT(NotedSteps(result, "NON_FINITE_SKIPPED"), ElementsAre(5));
    EXPECT_EQ(result.hosts[1]->CountNotes("NON_FINITE_SKIPPED"), 0);
    const StepReport& last = result.hosts[0]->steps.back();
    EXPECT_EQ(last.step, 18);
    EXPECT_EQ(last.non_finite_steps, 1);
    EXPECT_EQ(last.non_finite_rollbacks, 0);
    EXPECT_EQ(result.hosts[0]->steps[4].loss, result.hosts[0]->steps[3].loss);
    EXPECT_TRUE(ijepa::RemoveTree(config.checkpoint.folder).ok());
  }
}

TEST_F(NonFiniteTest, SchedulesAndDataGoOnPastASkippedStep) {
  TrainConfig config = SmallConfig();
  const GangResult sound = RunGang(config, ToyParts());
  config.generation = 2;
  const GangResult faulty = RunGang(config, Parts({.nan_gradient = {4}}));
  ASSERT_EQ(faulty.hosts[0]->steps.size(), sound.hosts[0]->steps.size());
  for (size_t i = 0; i < sound.hosts[0]->steps.size(); ++i) {
    const StepReport& a = sound.hosts[0]->steps[i];
    const StepReport& b = faulty.hosts[0]->steps[i];
    EXPECT_EQ(a.lr, b.lr) << i;
    EXPECT_EQ(a.images_seen, b.images_seen) << i;
    EXPECT_EQ(a.target_patches, b.target_patches) << i;
  }
}

TEST_F(NonFiniteTest, ResumeAfterASkipGivesTheBitsOfTheUninterruptedRun) {
  TrainConfig config = SmallConfig();
  config.world_size = 2;
  config.checkpoint.every_steps = 7;
  const NonFiniteSteps steps{.nan_gradient = {4, 9}};
  const GangResult whole = RunGang(config, Parts(steps));
  ASSERT_TRUE(whole.outcomes[0].ok()) << whole.outcomes[0].status();
  config.generation = 2;
  config.checkpoint.resume = {whole.hosts[0]->commits.at(0).path};
  const GangResult resumed = RunGang(config, Parts(steps));
  ASSERT_TRUE(resumed.outcomes[0].ok()) << resumed.outcomes[0].status();
  EXPECT_EQ(TensorBytes(CommittedNewestFirst(resumed)[0]),
            TensorBytes(CommittedNewestFirst(whole)[0]));
}

TEST_F(NonFiniteTest, RollBackRestoresTheCheckpointOnEveryRankAndPassesItsBatchesOver) {
  TrainConfig config = SmallConfig();
  config.world_size = 2;
  config.mask.mode = MaskMode::kReference;  // Its generators have a state that goes on.
  config.checkpoint.every_steps = 3;
  config.faults.non_finite = NonFiniteAction::kRollBack;
  const GangResult faulty = RunGang(config, Parts({.nan_gradient = {7}}));
  ASSERT_TRUE(faulty.outcomes[0].ok()) << faulty.outcomes[0].status();
  ASSERT_TRUE(faulty.outcomes[1].ok()) << faulty.outcomes[1].status();
  EXPECT_THAT(NotedSteps(faulty, "NON_FINITE_ROLLED_BACK"), ElementsAre(8));
  EXPECT_THAT(CommittedSteps(*faulty.hosts[0]), ElementsAre(3, 6, 9, 12, 15, 18));
  EXPECT_EQ(faulty.hosts[0]->steps.back().non_finite_rollbacks, 1);

  // The same as a run that skips steps 7 and 8.
  config.generation = 2;
  config.faults.non_finite = NonFiniteAction::kSkip;
  const GangResult skipping = RunGang(config, Parts({.nan_gradient = {6, 7}}));
  EXPECT_EQ(TensorBytes(CommittedNewestFirst(faulty)[0]),
            TensorBytes(CommittedNewestFirst(skipping)[0]));
  EXPECT_EQ(faulty.hosts[0]->losses().back(), faulty.hosts[1]->losses().back());
}

TEST_F(NonFiniteTest, RollBackBeforeTheFirstCheckpointSkips) {
  TrainConfig config = SmallConfig();
  config.faults.non_finite = NonFiniteAction::kRollBack;
  const GangResult result = RunGang(config, Parts({.nan_gradient = {2}}));
  ASSERT_TRUE(result.outcomes[0].ok()) << result.outcomes[0].status();
  EXPECT_THAT(NotedSteps(result, "NON_FINITE_SKIPPED"), ElementsAre(3));
  EXPECT_THAT(NotedSteps(result, "NON_FINITE_ROLLED_BACK"), ElementsAre());
}

TEST_F(NonFiniteTest, RollBackTakesTheCheckpointBeforeOneThatIsDamaged) {
  TrainConfig config = SmallConfig();
  config.checkpoint.every_steps = 3;
  config.faults.non_finite = NonFiniteAction::kRollBack;
  TrainParts parts = Parts({});
  parts.make_learner = [](const TrainConfig& of) -> absl::StatusOr<std::unique_ptr<Learner>> {
    ToyFaults faults;
    faults.unusable_step = 6;
    return std::make_unique<FaultyLearner>(std::make_unique<ToyLearner>(of, faults),
                                           NonFiniteSteps{.nan_gradient = {7}});
  };
  const GangResult result = RunGang(config, parts);
  ASSERT_TRUE(result.outcomes[0].ok()) << result.outcomes[0].status();
  EXPECT_EQ(result.hosts[0]->CountNotes("CHECKPOINT_UNUSABLE"), 1);
  ASSERT_EQ(result.hosts[0]->CountNotes("NON_FINITE_ROLLED_BACK"), 1);
  EXPECT_THAT(result.hosts[0]->notes().back().message, HasSubstr("those of step 3 again"));
}

TEST_F(NonFiniteTest, ExhaustedBudgetFailsEveryRankWithTheHistory) {
  for (const NonFiniteAction action : {NonFiniteAction::kSkip, NonFiniteAction::kRollBack}) {
    TrainConfig config = SmallConfig();
    config.world_size = 2;
    config.checkpoint.folder = NewFolder();
    config.checkpoint.every_steps = 4;
    config.faults = {action, /*budget=*/2, /*window_steps=*/100};
    const GangResult result = RunGang(config, Parts({.nan_gradient = {4, 6, 8}}));
    for (const auto& outcome : result.outcomes) {
      EXPECT_EQ(outcome.status().code(), absl::StatusCode::kOutOfRange) << outcome.status();
      EXPECT_THAT(std::string(outcome.status().message()),
                  AllOf(HasSubstr("step 9"), HasSubstr("faults.budget is 2"), HasSubstr("step 5:"),
                        HasSubstr("step 7:"), HasSubstr("optimization.lr")));
    }
    EXPECT_EQ(result.hosts[0]->steps.size(), 8u);
    EXPECT_TRUE(ijepa::RemoveTree(config.checkpoint.folder).ok());
  }
}

TEST_F(NonFiniteTest, BudgetIsBorneWithinAWindowOfSteps) {
  TrainConfig config = SmallConfig();
  config.faults = {NonFiniteAction::kSkip, /*budget=*/1, /*window_steps=*/4};
  const GangResult result = RunGang(config, Parts({.nan_gradient = {2, 6, 10, 14}}));
  ASSERT_TRUE(result.outcomes[0].ok()) << result.outcomes[0].status();
  EXPECT_EQ(result.hosts[0]->steps.back().non_finite_steps, 4);
}

TEST_F(NonFiniteTest, DrainInASkippedStepStillSaves) {
  TrainConfig config = SmallConfig();
  const GangResult result = RunGang(config, Parts({.nan_loss = {4}}), [](int, MemoryHost& host) {
    host.drain = [&host] { return host.steps.size() == 4; };
  });
  ASSERT_TRUE(result.outcomes[0].ok()) << result.outcomes[0].status();
  EXPECT_EQ(*result.outcomes[0], TrainOutcome::kDrained);
  EXPECT_THAT(CommittedSteps(*result.hosts[0]), ElementsAre(5));
}

}  // namespace
}  // namespace jepa
