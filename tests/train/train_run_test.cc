// The loop with a toy learner: what is trained, reported, committed, drained and probed.
#include "worker/jepa/train_run.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>

#include "tests/fakes/toy_learner.h"
#include "tests/train/run_fixture.h"
#include "worker/jepa/checkpoint/checkpoint.h"
#include "worker/jepa/exchange/pixel_scale.h"

namespace jepa {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

using TrainRunTest = RunFixture;

// Steps of SmallConfig: floor(ceil(48 / 2) / 4) = 6 per epoch.
constexpr int64_t kTotalSteps = 18;

std::vector<int64_t> ProbedSteps(const MemoryHost& host) {
  std::vector<int64_t> steps;
  for (const ProbeReport& probe : host.probes) steps.push_back(probe.step);
  return steps;
}

TEST_F(TrainRunTest, LossGoesDownAndTheEndIsCommitted) {
  const GangResult result = RunGang(SmallConfig(), ToyParts());
  ASSERT_TRUE(result.outcomes[0].ok()) << result.outcomes[0].status();
  EXPECT_EQ(*result.outcomes[0], TrainOutcome::kCompleted);
  const MemoryHost& host = *result.hosts[0];
  ASSERT_THAT(host.steps, SizeIs(kTotalSteps));
  EXPECT_LT(host.steps.back().loss, 0.5 * host.steps.front().loss);
  EXPECT_THAT(CommittedSteps(host), ElementsAre(kTotalSteps));
  EXPECT_EQ(host.commits[0].images_seen, kTotalSteps * 8);
  EXPECT_GT(host.commits[0].bytes, 0);
}

TEST_F(TrainRunTest, AllRanksSaveWhenTheClockOfRankZeroSaysSo) {
  TrainConfig config = SmallConfig();
  config.world_size = 2;
  config.checkpoint.every_minutes = 1e-9;  // Any step takes longer.
  const GangResult result = RunGang(config, ToyParts());
  for (const auto& outcome : result.outcomes) ASSERT_TRUE(outcome.ok()) << outcome.status();
  EXPECT_THAT(CommittedSteps(*result.hosts[0]), SizeIs(kTotalSteps));
}

TEST_F(TrainRunTest, SavesAtTheEndsOfKeptEpochsAndAtProbes) {
  TrainConfig config = SmallConfig();
  config.checkpoint.keep_every_epochs = 2;
  config.checkpoint.at_probes = true;
  config.eval.path = *images_folder_;
  config.eval.intermediate = 1;
  const GangResult result = RunGang(config, ToyParts());
  ASSERT_TRUE(result.outcomes[0].ok()) << result.outcomes[0].status();
  EXPECT_THAT(CommittedSteps(*result.hosts[0]), ElementsAre(9, 12, kTotalSteps));
  EXPECT_EQ(result.hosts[0]->commits[0].steps_per_epoch, 6);
}

TEST_F(TrainRunTest, ReportsWhatAStepWas) {
  const GangResult result = RunGang(SmallConfig(), ToyParts());
  const StepReport& report = result.hosts[0]->steps.at(4);
  EXPECT_EQ(report.step, 5);
  EXPECT_EQ(report.total_steps, kTotalSteps);
  EXPECT_EQ(report.steps_per_epoch, 6);
  EXPECT_EQ(report.images_seen, 5 * 8);
  EXPECT_GT(report.lr, 0);
  EXPECT_GT(report.weight_decay, 0);
  EXPECT_GT(report.ema_momentum, 0.9);
  EXPECT_GT(report.images_per_second, 0);
  EXPECT_GT(report.context_patches, 0);
  EXPECT_GT(report.target_patches, 0);
  EXPECT_GE(report.data_wait_share, 0);
  EXPECT_LE(report.data_wait_share, 1);
  EXPECT_EQ(report.bad_images, 0);
  EXPECT_GT(report.gradient_norm, 0);
  EXPECT_GT(report.data.max_batches, 0);
  EXPECT_LE(report.data.ready_batches, report.data.max_batches);
  EXPECT_GT(report.data.decode_seconds_per_image, 0);
  EXPECT_LT(report.data.decode_seconds_per_image, report.data.seconds_per_image);
  EXPECT_GT(report.data.wait_seconds, 0);
}

TEST_F(TrainRunTest, CheckpointsSayHowPixelsWereNormalised) {
  TrainConfig config = SmallConfig();
  config.model.scale = {8, {0.1, 0.2, 0.3}, {0.4, 0.5, 0.6}};
  const GangResult result = RunGang(config, ToyParts());
  const auto checkpoint = CheckpointReader::Open(CommittedNewestFirst(result).at(0));
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  const auto scale = ReadPixelScale(checkpoint->meta().values, 3);
  ASSERT_TRUE(scale.ok()) << scale.status();
  EXPECT_EQ(scale->mean, config.model.scale.mean);
  EXPECT_EQ(scale->std, config.model.scale.std);
}

TEST_F(TrainRunTest, CommitsAtIntervalsAndDeletesWhatItMay) {
  TrainConfig config = SmallConfig();
  config.checkpoint.every_steps = 5;
  std::vector<std::string> paths;
  const GangResult result = RunGang(config, ToyParts(), [&](int, MemoryHost& host) {
    host.on_commit = [&](const CheckpointInfo& checkpoint) {
      std::vector<std::string> deletable = paths;
      paths = {checkpoint.path};
      return deletable;
    };
  });
  ASSERT_TRUE(result.outcomes[0].ok()) << result.outcomes[0].status();
  EXPECT_THAT(CommittedSteps(*result.hosts[0]), ElementsAre(5, 10, 15, 18));
  const std::vector<std::string> committed = CommittedNewestFirst(result);
  EXPECT_TRUE(CheckpointReader::Open(committed[0]).ok());
  EXPECT_EQ(CheckpointReader::Open(committed[1]).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(TrainRunTest, EveryRankReportsTheSameLossAndOneRankGivesTheSameCurve) {
  TrainConfig config = SmallConfig();
  const GangResult one = RunGang(config, ToyParts());
  config.world_size = 2;
  config.generation = 2;
  const GangResult two = RunGang(config, ToyParts());
  ASSERT_TRUE(two.outcomes[1].ok()) << two.outcomes[1].status();
  EXPECT_EQ(two.hosts[0]->losses(), two.hosts[1]->losses());
  ASSERT_EQ(one.hosts[0]->losses().size(), two.hosts[0]->losses().size());
  for (size_t i = 0; i < one.hosts[0]->losses().size(); ++i) {
    EXPECT_NEAR(one.hosts[0]->losses()[i], two.hosts[0]->losses()[i], 1e-5);
  }
}

TEST_F(TrainRunTest, DrainOfOneRankStopsAllAtOneStepWithACheckpoint) {
  TrainConfig config = SmallConfig();
  config.world_size = 2;
  std::atomic<int> steps_of_rank_1 = 0;
  const GangResult result = RunGang(config, ToyParts(), [&](int rank, MemoryHost& host) {
    if (rank != 1) return;
    host.on_step = [&](const StepReport&) { ++steps_of_rank_1; };
    host.drain = [&] { return steps_of_rank_1 >= 4; };
  });
  for (const auto& outcome : result.outcomes) {
    ASSERT_TRUE(outcome.ok()) << outcome.status();
    EXPECT_EQ(*outcome, TrainOutcome::kDrained);
  }
  EXPECT_EQ(result.hosts[0]->steps.back().step, 5);
  EXPECT_EQ(result.hosts[1]->steps.back().step, 5);
  EXPECT_THAT(CommittedSteps(*result.hosts[0]), ElementsAre(5));
  EXPECT_THAT(result.hosts[1]->commits, IsEmpty());
}

TEST_F(TrainRunTest, DrainAtTheLastStepIsACompletion) {
  const GangResult result = RunGang(SmallConfig(), ToyParts(), [](int, MemoryHost& host) {
    host.drain = [&host] { return host.steps.size() == kTotalSteps - 1; };
  });
  ASSERT_TRUE(result.outcomes[0].ok());
  EXPECT_EQ(*result.outcomes[0], TrainOutcome::kCompleted);
}

TEST_F(TrainRunTest, ProbesAtTheStartBetweenAndAtTheEnd) {
  TrainConfig config = SmallConfig();
  config.world_size = 2;
  config.eval.path = *images_folder_;
  config.eval.max_images = 41;  // Does not split evenly.
  config.eval.intermediate = 2;
  const GangResult result = RunGang(config, ToyParts());
  ASSERT_TRUE(result.outcomes[0].ok()) << result.outcomes[0].status();
  EXPECT_THAT(ProbedSteps(*result.hosts[0]), ElementsAre(0, 6, 12, 18));
  EXPECT_THAT(result.hosts[1]->probes, IsEmpty());
  const ProbeReport& last = result.hosts[0]->probes.back();
  EXPECT_EQ(last.images_seen, kTotalSteps * 8);
  EXPECT_GT(last.effective_rank, 1);
  // k-NN and linear, for class, count and depth.
  EXPECT_THAT(last.scores, SizeIs(6));
  for (const ProbeScore& score : last.scores) EXPECT_LE(score.images, 41);
}

TEST_F(TrainRunTest, ProbesDoNotDependOnTheNumberOfRanks) {
  TrainConfig config = SmallConfig();
  config.eval.path = *images_folder_;
  config.eval.fit_path = *images_folder_;
  const GangResult one = RunGang(config, ToyParts());
  config.world_size = 2;
  config.generation = 2;
  const GangResult two = RunGang(config, ToyParts());
  ASSERT_TRUE(one.outcomes[0].ok() && two.outcomes[0].ok()) << two.outcomes[0].status();
  const ProbeReport& a = one.hosts[0]->probes.at(0);
  const ProbeReport& b = two.hosts[0]->probes.at(0);
  ASSERT_EQ(a.scores.size(), b.scores.size());
  EXPECT_EQ(a.effective_rank, b.effective_rank);
  for (size_t i = 0; i < a.scores.size(); ++i)
    EXPECT_EQ(a.scores[i].accuracy, b.scores[i].accuracy);
}

TEST_F(TrainRunTest, NoProbeIsRepeatedByALaterAttempt) {
  TrainConfig config = SmallConfig();
  config.checkpoint.every_steps = 6;
  const GangResult first = RunGang(config, ToyParts());
  config.eval.path = *images_folder_;
  config.eval.intermediate = 2;
  config.eval.skip_initial = true;
  config.eval.last_probe_step = 6;
  config.generation = 2;
  config.checkpoint.resume = {first.hosts[0]->commits[0].path};  // Step 6.
  EXPECT_THAT(ProbedSteps(*RunGang(config, ToyParts()).hosts[0]), ElementsAre(12, 18));
  // The attempt that saved step 6 died before its probe was reported.
  config.eval.last_probe_step = 0;
  config.generation = 3;
  EXPECT_THAT(ProbedSteps(*RunGang(config, ToyParts()).hosts[0]), ElementsAre(6, 12, 18));
}

}  // namespace
}  // namespace jepa
