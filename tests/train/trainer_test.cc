// The loop with the real learner on CPU: small networks, real masks, real collectives.
#include "worker/jepa/trainer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "common/file.h"
#include "tests/fakes/faulty_learner.h"
#include "tests/train/run_fixture.h"
#include "worker/jepa/checkpoint/checkpoint.h"
#include "worker/jepa/train_run.h"

namespace jepa {
namespace {

using ::testing::SizeIs;

class TrainerTest : public RunFixture {
 protected:
  static TrainParts RealParts() {
    TrainParts parts = ToyParts();
    parts.make_learner = &Learner::Create;
    return parts;
  }
};

double Mean(const std::vector<double>& values, size_t begin, size_t end) {
  double sum = 0;
  for (size_t i = begin; i < end; ++i) sum += values[i];
  return sum / static_cast<double>(end - begin);
}

TEST_F(TrainerTest, TrainRunsTheRealLearnerToItsEnd) {
  TrainConfig config = SmallConfig();
  config.optimization.epochs = 20;
  config.optimization.lr = 3e-3;
  config.eval.path = *images_folder_;
  MemoryRendezvous rendezvous;
  MemoryHost host(rendezvous);
  const absl::StatusOr<TrainOutcome> outcome = Train(config, host);
  ASSERT_TRUE(outcome.ok()) << outcome.status();
  EXPECT_EQ(*outcome, TrainOutcome::kCompleted);
  const std::vector<double> losses = host.losses();
  ASSERT_THAT(losses, SizeIs(120));
  for (const double loss : losses) ASSERT_TRUE(std::isfinite(loss));
  EXPECT_LT(Mean(losses, 100, 120), 0.9 * Mean(losses, 0, 10));
  EXPECT_THAT(host.probes, SizeIs(2));
  EXPECT_THAT(host.commits, SizeIs(1));
}

TEST_F(TrainerTest, SameRanksGiveTheSameBits) {
  TrainConfig config = SmallConfig();
  config.world_size = 2;
  const GangResult first = RunGang(config, RealParts());
  ASSERT_TRUE(first.outcomes[0].ok()) << first.outcomes[0].status();
  const std::string bytes = TensorBytes(CommittedNewestFirst(first)[0]);
  config.generation = 2;
  const GangResult second = RunGang(config, RealParts());
  EXPECT_EQ(first.hosts[0]->losses(), second.hosts[0]->losses());
  EXPECT_EQ(bytes, TensorBytes(CommittedNewestFirst(second)[0]));
}

// A gradient of several buckets: three steps that sum them beside the backward pass, two shards per
// rank, against three that sum all of it afterwards.
TEST_F(TrainerTest, SummingBesideTheBackwardPassGivesTheSameBits) {
  TrainConfig config = SmallConfig();
  config.model.embed_dim = config.model.pred_embed_dim = 96;
  config.model.mlp_hidden = config.model.pred_mlp_hidden = 384;
  config.model.depth = 4;
  config.model.pred_depth = 2;
  config.optimization.epochs = 0.5;
  config.optimization.warmup = 0;
  config.data.batch_size = 2;
  config.shards = 4;
  config.world_size = 2;
  config.optimization.bucket_mib = 0;
  const GangResult after = RunGang(config, RealParts());
  ASSERT_TRUE(after.outcomes[0].ok()) << after.outcomes[0].status();
  const std::string bytes = TensorBytes(CommittedNewestFirst(after)[0]);
  config.optimization.bucket_mib = 1;
  config.generation = 2;
  const GangResult beside = RunGang(config, RealParts());
  ASSERT_TRUE(beside.outcomes[0].ok()) << beside.outcomes[0].status();
  ASSERT_THAT(beside.hosts[0]->losses(), SizeIs(3));
  EXPECT_EQ(beside.hosts[0]->losses(), after.hosts[0]->losses());
  EXPECT_EQ(TensorBytes(CommittedNewestFirst(beside)[0]), bytes);
}

TEST_F(TrainerTest, ResumeGivesTheBitsOfTheUninterruptedRun) {
  for (const int world_size : {1, 2}) {
    TrainConfig config = SmallConfig();
    config.world_size = world_size;
    config.checkpoint.every_steps = 7;
    config.checkpoint.folder = NewFolder();
    const GangResult whole = RunGang(config, RealParts());
    ASSERT_TRUE(whole.outcomes[0].ok()) << whole.outcomes[0].status();
    config.generation = 2;
    config.checkpoint.resume = {whole.hosts[0]->commits.at(0).path};
    const GangResult resumed = RunGang(config, RealParts());
    ASSERT_TRUE(resumed.outcomes[0].ok()) << resumed.outcomes[0].status();
    const std::vector<double> losses = whole.hosts[0]->losses();
    EXPECT_EQ(resumed.hosts[0]->losses(), std::vector<double>(losses.begin() + 7, losses.end()));
    EXPECT_EQ(TensorBytes(CommittedNewestFirst(resumed)[0]),
              TensorBytes(CommittedNewestFirst(whole)[0]));
    EXPECT_TRUE(ijepa::RemoveTree(config.checkpoint.folder).ok());
  }
}

TEST_F(TrainerTest, KillsAtRandomPointsLeaveNoTrace) {
  TrainConfig config = SmallConfig();
  config.world_size = 2;
  config.checkpoint.every_steps = 3;
  const GangResult calm = RunGang(config, RealParts());
  ASSERT_TRUE(calm.outcomes[0].ok()) << calm.outcomes[0].status();
  const std::vector<double> losses = calm.hosts[0]->losses();
  config.checkpoint.folder = NewFolder();
  const KilledRun killed = RunWithKills(config, RealParts(), /*seed=*/4);
  ASSERT_FALSE(killed.checkpoint.empty());
  EXPECT_GT(killed.kills, 0);
  ASSERT_EQ(killed.losses.size(), losses.size());
  for (const auto& [step, loss] : killed.losses) {
    EXPECT_EQ(loss, losses[static_cast<size_t>(step - 1)]) << "step " << step;
  }
  EXPECT_EQ(TensorBytes(killed.checkpoint), TensorBytes(CommittedNewestFirst(calm)[0]));
  EXPECT_TRUE(ijepa::RemoveTree(config.checkpoint.folder).ok());
}

// Four shards on 1, 2 and 4 ranks. A low rate, because rounding grows from step to step with it.
TEST_F(TrainerTest, RanksGiveTheLossCurveOfOneOverFiftySteps) {
  TrainConfig config = SmallConfig();
  config.shards = 4;
  config.data.batch_size = 2;
  config.optimization.epochs = 50.0 / 6;
  config.optimization.lr = 1e-3;
  config.optimization.start_lr = config.optimization.final_lr = 1e-4;
  std::vector<double> losses;
  for (const int world : {1, 2, 4}) {
    config.world_size = world;
    config.generation = world;
    const GangResult run = RunGang(config, RealParts());
    ASSERT_TRUE(run.outcomes[0].ok()) << run.outcomes[0].status();
    const std::vector<double> mine = run.hosts[0]->losses();
    if (world == 1) losses = mine;
    ASSERT_GE(mine.size(), 50u);
    ASSERT_EQ(mine.size(), losses.size());
    for (size_t i = 0; i < mine.size(); ++i) {
      EXPECT_NEAR(mine[i], losses[i], 1e-5 * losses[i]) << world << " ranks, step " << i + 1;
    }
  }
}

// Moments shared out over ranks: the same bits as without, at the end and in every checkpoint; and
// what was saved by sharing ranks continues on any number, sharing or not.
TEST_F(TrainerTest, SharingTheUpdateOutGivesTheSameBits) {
  TrainConfig config = SmallConfig();
  config.shards = 4;
  config.data.batch_size = 2;
  config.world_size = 4;
  config.optimization.lr = 1e-3;
  config.optimization.start_lr = config.optimization.final_lr = 1e-4;
  config.checkpoint.every_steps = 7;
  config.optimization.bucket_mib = 1;
  config.telemetry.every_steps = 5;
  const GangResult plain = RunGang(config, RealParts());
  ASSERT_TRUE(plain.outcomes[0].ok()) << plain.outcomes[0].status();
  config.optimization.zero1 = true;
  config.generation = 2;
  const GangResult shared = RunGang(config, RealParts());
  ASSERT_TRUE(shared.outcomes[0].ok()) << shared.outcomes[0].status();
  EXPECT_EQ(shared.hosts[0]->losses(), plain.hosts[0]->losses());
  ASSERT_EQ(CommittedSteps(*shared.hosts[0]), CommittedSteps(*plain.hosts[0]));
  for (size_t i = 0; i < plain.hosts[0]->commits.size(); ++i) {
    EXPECT_EQ(TensorBytes(shared.hosts[0]->commits[i].path),
              TensorBytes(plain.hosts[0]->commits[i].path));
  }
  const std::string last = TensorBytes(CommittedNewestFirst(plain)[0]);
  config.checkpoint.resume = {shared.hosts[0]->commits[0].path};
  for (const bool zero1 : {true, false}) {
    config.optimization.zero1 = zero1;
    ++config.generation;
    const GangResult resumed = RunGang(config, RealParts());
    ASSERT_TRUE(resumed.outcomes[0].ok()) << resumed.outcomes[0].status();
    EXPECT_EQ(TensorBytes(CommittedNewestFirst(resumed)[0]), last);
  }
  for (const int world : {1, 2}) {
    config.optimization.zero1 = true;
    config.world_size = world;
    ++config.generation;
    const GangResult resumed = RunGang(config, RealParts());
    ASSERT_TRUE(resumed.outcomes[0].ok()) << resumed.outcomes[0].status();
    EXPECT_NEAR(resumed.hosts[0]->losses().back(), plain.hosts[0]->losses().back(), 1e-5);
  }
}

TEST_F(TrainerTest, SharingTheUpdateOutMeasuresTheSame) {
  TrainConfig config = SmallConfig();
  config.world_size = 2;
  config.optimization.epochs = 1;
  config.telemetry.every_steps = 3;
  std::vector<StepReport> last;
  for (const bool zero1 : {false, true}) {
    config.optimization.zero1 = zero1;
    ++config.generation;
    const GangResult run = RunGang(config, RealParts());
    ASSERT_TRUE(run.outcomes[0].ok()) << run.outcomes[0].status();
    last.push_back(run.hosts[1]->steps.back());
  }
  ASSERT_TRUE(last[0].telemetry.has_value() && last[1].telemetry.has_value());
  const Telemetry &plain = *last[0].telemetry, &shared = *last[1].telemetry;
  EXPECT_NEAR(last[1].gradient_norm, last[0].gradient_norm, 1e-6 * last[0].gradient_norm);
  EXPECT_NEAR(shared.update_ratio, plain.update_ratio, 1e-6 * plain.update_ratio);
  EXPECT_NEAR(shared.target_distance, plain.target_distance, 1e-6 * plain.target_distance);
  EXPECT_NEAR(shared.patch_embed_gradient_norm, plain.patch_embed_gradient_norm,
              1e-6 * plain.patch_embed_gradient_norm);
  EXPECT_NEAR(shared.encoder_block_gradient_norms.at(0), plain.encoder_block_gradient_norms.at(0),
              1e-6 * plain.encoder_block_gradient_norms.at(0));
}

TEST_F(TrainerTest, Bf16WireStaysNearTheFp32One) {
  TrainConfig config = SmallConfig();
  config.world_size = 2;
  config.optimization.lr = 2e-3;
  const GangResult exact = RunGang(config, RealParts());
  ASSERT_TRUE(exact.outcomes[0].ok()) << exact.outcomes[0].status();
  config.optimization.gradient_wire = Precision::kBf16;
  config.generation = 2;
  const GangResult rounded = RunGang(config, RealParts());
  ASSERT_TRUE(rounded.outcomes[0].ok()) << rounded.outcomes[0].status();
  EXPECT_EQ(rounded.hosts[0]->losses(), rounded.hosts[1]->losses());
  const std::vector<double> a = exact.hosts[0]->losses(), b = rounded.hosts[0]->losses();
  ASSERT_EQ(a.size(), b.size());
  EXPECT_EQ(a[0], b[0]);
  EXPECT_NE(a, b);
  for (size_t i = 0; i < a.size(); ++i) EXPECT_NEAR(a[i], b[i], 0.01 * a[i]) << "step " << i + 1;
}

TEST_F(TrainerTest, TwoRanksGiveTheLossCurveOfOne) {
  TrainConfig config = SmallConfig();
  const GangResult one = RunGang(config, RealParts());
  config.world_size = 2;
  config.generation = 2;
  const GangResult two = RunGang(config, RealParts());
  ASSERT_TRUE(one.outcomes[0].ok() && two.outcomes[0].ok()) << two.outcomes[0].status();
  const std::vector<double> a = one.hosts[0]->losses();
  const std::vector<double> b = two.hosts[0]->losses();
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) EXPECT_NEAR(a[i], b[i], 1e-5 * a[i]) << "step " << i + 1;
}

// All float tensors of a checkpoint by name.
std::map<std::string, std::vector<float>> FloatsOf(const std::string& checkpoint) {
  std::map<std::string, std::vector<float>> floats;
  const absl::StatusOr<CheckpointReader> reader = CheckpointReader::Open(checkpoint);
  EXPECT_TRUE(reader.ok()) << reader.status();
  if (!reader.ok()) return floats;
  for (const TensorEntry& tensor : reader->tensors()) {
    if (tensor.type != TensorType::kFloat32) continue;
    std::vector<float>& values = floats[tensor.name];
    values.resize(static_cast<size_t>(tensor.bytes) / sizeof(float));
    EXPECT_TRUE(reader->Read(tensor.name, tensor.type, tensor.shape, values.data()).ok());
  }
  return floats;
}

// Two shards on one rank against two ranks over Gloo, with the sampler of either mode: the same
// images, masks and sums, but for the order of the two addends.
TEST_F(TrainerTest, TwoShardsOnOneRankEndWhereTwoRanksDo) {
  for (const MaskMode mode : {MaskMode::kFixed, MaskMode::kReference}) {
    TrainConfig config = SmallConfig();
    config.mask.mode = mode;
    // A gradient that is zero but for rounding must not move a weight by a whole step.
    config.optimization.lr = config.optimization.start_lr = config.optimization.final_lr = 1e-5;
    config.checkpoint.folder = NewFolder();
    const GangResult one = RunGang(config, RealParts());
    config.world_size = 2;
    config.generation = 2;
    const GangResult two = RunGang(config, RealParts());
    ASSERT_TRUE(one.outcomes[0].ok() && two.outcomes[0].ok()) << two.outcomes[0].status();
    const auto expected = FloatsOf(CommittedNewestFirst(one)[0]);
    const auto actual = FloatsOf(CommittedNewestFirst(two)[0]);
    ASSERT_EQ(expected.size(), actual.size());
    for (const auto& [name, values] : expected) {
      double largest = 0, difference = 0;
      for (size_t i = 0; i < values.size(); ++i) {
        largest = std::max<double>(largest, std::abs(values[i]));
        difference = std::max<double>(difference, std::abs(values[i] - actual.at(name)[i]));
      }
      EXPECT_LE(difference, 1e-5 * largest + 1e-9) << name;
    }
    EXPECT_TRUE(ijepa::RemoveTree(config.checkpoint.folder).ok());
  }
}

TEST_F(TrainerTest, TrainsAndProbesOnRectangularCrops) {
  for (const MaskMode mode : {MaskMode::kFixed, MaskMode::kReference}) {
    TrainConfig config = SmallConfig();
    config.data.crop_size = {24, 40};
    config.model.grid_height = 6;
    config.model.grid_width = 10;
    config.mask.mode = mode;
    config.activation_checkpointing = mode == MaskMode::kFixed;
    config.eval.path = *images_folder_;
    config.checkpoint.folder = NewFolder();
    const GangResult result = RunGang(config, RealParts());
    ASSERT_TRUE(result.outcomes[0].ok()) << result.outcomes[0].status();
    EXPECT_THAT(result.hosts[0]->losses(), SizeIs(18));
    EXPECT_THAT(result.hosts[0]->probes, SizeIs(2));
    EXPECT_TRUE(ijepa::RemoveTree(config.checkpoint.folder).ok());
  }
}

TEST_F(TrainerTest, TelemetryDoesNotChangeTheBits) {
  TrainConfig config = SmallConfig();
  config.world_size = 2;
  config.telemetry.every_steps = 0;
  const GangResult without = RunGang(config, RealParts());
  ASSERT_TRUE(without.outcomes[0].ok()) << without.outcomes[0].status();
  config.generation = 2;
  config.telemetry.every_steps = 1;
  const GangResult with = RunGang(config, RealParts());
  ASSERT_TRUE(with.outcomes[0].ok()) << with.outcomes[0].status();
  EXPECT_EQ(without.hosts[0]->losses(), with.hosts[0]->losses());
  EXPECT_EQ(TensorBytes(CommittedNewestFirst(without)[0]),
            TensorBytes(CommittedNewestFirst(with)[0]));
  EXPECT_TRUE(with.hosts[0]->steps[0].telemetry.has_value());
}

TEST_F(TrainerTest, TelemetryIsTheSameOnAllRanksAndForAnyNumberOfRanks) {
  TrainConfig config = SmallConfig();
  config.telemetry.every_steps = 1;
  const GangResult one = RunGang(config, RealParts());
  config.world_size = 2;
  config.generation = 2;
  const GangResult two = RunGang(config, RealParts());
  ASSERT_TRUE(one.outcomes[0].ok() && two.outcomes[0].ok()) << two.outcomes[0].status();
  for (size_t i = 0; i < one.hosts[0]->steps.size(); ++i) {
    const Telemetry& a = *one.hosts[0]->steps[i].telemetry;
    const Telemetry& b = *two.hosts[0]->steps[i].telemetry;
    const Telemetry& c = *two.hosts[1]->steps[i].telemetry;
    EXPECT_EQ(b.effective_rank, c.effective_rank) << i;
    EXPECT_EQ(b.std_mean, c.std_mean) << i;
    EXPECT_EQ(b.target_distance, c.target_distance) << i;
    EXPECT_EQ(b.encoder_block_gradient_norms, c.encoder_block_gradient_norms) << i;
    EXPECT_NEAR(a.effective_rank, b.effective_rank, 1e-3 * a.effective_rank) << i;
    EXPECT_NEAR(a.std_mean, b.std_mean, 1e-3 * a.std_mean) << i;
    EXPECT_NEAR(a.prediction_cosine, b.prediction_cosine, 1e-3) << i;
  }
}

TEST_F(TrainerTest, GradientThatIsNotFiniteOnOneRankLeavesTheRealLearnerUntouched) {
  TrainConfig config = SmallConfig();
  config.world_size = 2;
  config.checkpoint.every_steps = 1;
  config.telemetry.every_steps = 1;
  TrainParts parts = RealParts();
  parts.make_learner = [](const TrainConfig& of) -> absl::StatusOr<std::unique_ptr<Learner>> {
    absl::StatusOr<std::unique_ptr<Learner>> sound = Learner::Create(of);
    if (!sound.ok() || of.rank == 0) return sound;
    return std::make_unique<FaultyLearner>(*std::move(sound), NonFiniteSteps{.nan_gradient = {4}});
  };
  const GangResult result = RunGang(config, parts);
  ASSERT_TRUE(result.outcomes[0].ok()) << result.outcomes[0].status();
  ASSERT_TRUE(result.outcomes[1].ok()) << result.outcomes[1].status();
  const std::vector<CheckpointInfo>& commits = result.hosts[0]->commits;
  // Weights, moments, target and the optimizer's count of steps.
  EXPECT_EQ(TensorBytes(commits.at(3).path), TensorBytes(commits.at(4).path));
  EXPECT_NE(TensorBytes(commits.at(4).path), TensorBytes(commits.at(5).path));
  EXPECT_EQ(result.hosts[0]->steps[4].telemetry->step, 4);
  EXPECT_EQ(result.hosts[1]->steps[5].telemetry->step, 6);
}

// Without an EMA the target follows the encoder at once, and at this rate all patches become alike
// within some dozen steps: std 0.04, against 0.5 with the EMA.
TEST_F(TrainerTest, CollapseIsSuspectedInARunThatCollapsesAndNotInAHealthyOne) {
  TrainConfig config = SmallConfig();
  config.optimization.epochs = 25;
  config.optimization.warmup = 1;
  config.optimization.lr = 2e-2;
  config.model.embed_dim = 32;
  config.model.mlp_hidden = 64;
  config.telemetry.every_steps = 5;
  config.telemetry.collapse.std = {0.1, 0.2};
  const GangResult healthy = RunGang(config, RealParts());
  ASSERT_TRUE(healthy.outcomes[0].ok()) << healthy.outcomes[0].status();
  EXPECT_EQ(healthy.hosts[0]->CountNotes("COLLAPSE_SUSPECTED"), 0);
  config.generation = 2;
  config.optimization.ema = {0, 0};
  const GangResult collapsing = RunGang(config, RealParts());
  ASSERT_TRUE(collapsing.outcomes[0].ok()) << collapsing.outcomes[0].status();
  EXPECT_EQ(collapsing.hosts[0]->CountNotes("COLLAPSE_SUSPECTED"), 1);
  EXPECT_TRUE(collapsing.hosts[0]->steps.back().telemetry->collapse_suspected);
}

TEST_F(TrainerTest, LearnsFromPhotographsInATar) {
  const char* folder = std::getenv("IJEPA_TEST_DATA");
  const std::string tar =
      std::string(folder == nullptr ? "../shared/data" : folder) + "/cifar10-test-5k.tar";
  if (!std::ifstream(tar).good()) GTEST_SKIP() << tar << " is missing";
  TrainConfig config = SmallConfig();
  config.data.path = tar;
  config.data.batch_size = 16;
  config.optimization.epochs = 0.2;
  config.optimization.warmup = 0.02;
  config.optimization.lr = 3e-3;
  config.world_size = 2;
  config.eval.path = tar;
  config.eval.max_images = 200;
  const GangResult result = RunGang(config, RealParts());
  ASSERT_TRUE(result.outcomes[0].ok()) << result.outcomes[0].status();
  const std::vector<double> losses = result.hosts[0]->losses();
  ASSERT_THAT(losses, SizeIs(31));
  EXPECT_LT(Mean(losses, 21, 31), Mean(losses, 0, 5));
  EXPECT_THAT(result.hosts[0]->probes, SizeIs(2));
  EXPECT_THAT(result.hosts[0]->probes[0].scores, SizeIs(2));
}

}  // namespace
}  // namespace jepa
