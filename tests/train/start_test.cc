// Jobs that do not start from random weights: from another job's checkpoint, from the published
// training state, from weights alone. The real learner on CPU.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "tests/train/run_fixture.h"
#include "worker/jepa/exchange/export.h"
#include "worker/jepa/train_run.h"

namespace jepa {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

class StartTest : public RunFixture {
 protected:
  static TrainParts RealParts() {
    TrainParts parts = ToyParts();
    parts.make_learner = &Learner::Create;
    return parts;
  }

  // 18 steps, checkpoints after 6 (an epoch), 12 and 18.
  GangResult FirstJob(TrainConfig& config) {
    config.checkpoint.every_steps = 6;
    GangResult result = RunGang(config, RealParts());
    EXPECT_TRUE(result.outcomes[0].ok()) << result.outcomes[0].status();
    return result;
  }

  // Another job of the same spec that starts from `path`.
  GangResult NextJob(TrainConfig config, const std::string& path) {
    config.job_uid = "job-b";
    config.checkpoint.folder = folder_ + "/b" + std::to_string(config.world_size);
    config.checkpoint.start_from = path;
    config.checkpoint.start_tag = "jepa";
    return RunGang(config, RealParts());
  }

  std::string Export(const std::string& checkpoint, ExportFormat format) {
    const auto state = OpenState(checkpoint);
    EXPECT_TRUE(state.ok()) << state.status();
    ExportOptions options;
    options.format = format;
    options.folder = folder_ + "/export";
    const absl::Status status = ExportState(**state, options);
    EXPECT_TRUE(status.ok()) << status;
    return options.folder;
  }

  static void ExpectGoesOn(const GangResult& next, const GangResult& first, size_t from) {
    ASSERT_TRUE(next.outcomes[0].ok()) << next.outcomes[0].status();
    const std::vector<double> losses = first.hosts[0]->losses();
    EXPECT_EQ(next.hosts[0]->losses(), std::vector<double>(losses.begin() + from, losses.end()));
    EXPECT_EQ(next.hosts[0]->steps.at(0).step, static_cast<int64_t>(from) + 1);
    EXPECT_EQ(TensorBytes(CommittedNewestFirst(next)[0]),
              TensorBytes(CommittedNewestFirst(first)[0]));
  }
};

TEST_F(StartTest, AnotherJobsCheckpointGoesOnWithItsBits) {
  for (const MaskMode mode : {MaskMode::kFixed, MaskMode::kReference}) {
    TrainConfig config = SmallConfig();
    config.mask.mode = mode;
    config.world_size = mode == MaskMode::kReference ? 2 : 1;
    config.checkpoint.folder = folder_ + "/a" + std::to_string(config.world_size);
    const GangResult first = FirstJob(config);
    const GangResult next = NextJob(config, first.hosts[0]->commits.at(1).path);
    ExpectGoesOn(next, first, 12);
  }
}

// Epochs become steps, moments and schedules go on; masks `fixed` and crops depend on the step
// alone, so the bits are those of the job that was not interrupted.
TEST_F(StartTest, ThePublishedStateGoesOnAtItsEpoch) {
  TrainConfig config = SmallConfig();
  const GangResult first = FirstJob(config);
  const std::string folder = Export(first.hosts[0]->commits.at(0).path, ExportFormat::kTorch);
  const GangResult next = NextJob(config, folder + "/jepa-latest.pth.tar");
  ExpectGoesOn(next, first, 6);
}

TEST_F(StartTest, AFolderStandsForItsNewestState) {
  TrainConfig config = SmallConfig();
  config.world_size = 2;
  const GangResult first = FirstJob(config);
  const std::string folder = Export(first.hosts[0]->commits.at(0).path, ExportFormat::kTorch);
  const GangResult next = NextJob(config, folder);
  ExpectGoesOn(next, first, 6);
}

TEST_F(StartTest, WeightsAloneBeginAtStepZeroWithAFreshPredictor) {
  TrainConfig config = SmallConfig();
  const GangResult first = FirstJob(config);
  const std::string folder = Export(first.hosts[0]->commits.at(2).path, ExportFormat::kHuggingFace);
  const GangResult next = NextJob(config, folder);
  ASSERT_TRUE(next.outcomes[0].ok()) << next.outcomes[0].status();
  ASSERT_THAT(next.hosts[0]->steps, SizeIs(18));
  EXPECT_NE(next.hosts[0]->losses()[0], first.hosts[0]->losses()[0]);
  for (const double loss : next.hosts[0]->losses()) EXPECT_TRUE(std::isfinite(loss));
}

// A job's own restart resumes from its own checkpoint, whatever it once started from.
TEST_F(StartTest, ItsOwnCheckpointComesFirst) {
  TrainConfig config = SmallConfig();
  const GangResult first = FirstJob(config);
  config.generation = 2;
  config.checkpoint.resume = {first.hosts[0]->commits.at(1).path};
  config.checkpoint.start_from = "/nonexistent";
  const GangResult resumed = RunGang(config, RealParts());
  ExpectGoesOn(resumed, first, 12);
}

TEST_F(StartTest, RefusesWhatDoesNotFit) {
  TrainConfig config = SmallConfig();
  const GangResult first = FirstJob(config);
  const std::string path = first.hosts[0]->commits.at(1).path;
  const auto refusal = [&](const TrainConfig& changed, const std::string& from) {
    const absl::Status status = NextJob(changed, from).outcomes[0].status();
    EXPECT_FALSE(status.ok());
    return std::string(status.message());
  };
  TrainConfig deeper = config;
  deeper.model.depth = 2;
  EXPECT_THAT(refusal(deeper, path), HasSubstr("has other sizes than this job"));
  TrainConfig shorter = config;
  shorter.optimization.epochs = 2;
  EXPECT_THAT(refusal(shorter, path), HasSubstr("at step 12 of this job, which ends at step 12"));
  EXPECT_THAT(refusal(config, folder_ + "/absent.pth.tar"), HasSubstr("absent.pth.tar"));
}

}  // namespace
}  // namespace jepa
