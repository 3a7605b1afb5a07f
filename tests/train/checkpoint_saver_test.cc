// Saving beside training: training goes on while parts are written, every rank writes its share,
// and what fails ends the run with nothing half-made.
#include "worker/jepa/checkpoint_saver.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <condition_variable>
#include <filesystem>
#include <mutex>
#include <system_error>

#include "tests/fakes/toy_learner.h"
#include "tests/train/run_fixture.h"
#include "worker/jepa/checkpoint/manifest.h"

namespace jepa {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

using CheckpointSaverTest = RunFixture;

// Lets one thread wait for what another does, at most ten seconds.
class Gate {
 public:
  void Open() {
    std::lock_guard<std::mutex> lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }
  bool Wait() {
    std::unique_lock<std::mutex> lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(10), [&] { return open_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool open_ = false;
};

TEST_F(CheckpointSaverTest, TrainingGoesOnWhileThePartsAreWritten) {
  TrainConfig config = SmallConfig();
  config.checkpoint.every_steps = 6;
  Gate two_steps_later;
  bool waited_for_steps = true;
  TrainParts parts = ToyParts();
  parts.before_checkpoint_operation = [&](absl::string_view operation) {
    if (operation == "create a part") waited_for_steps &= two_steps_later.Wait();
    return absl::OkStatus();
  };
  const GangResult result = RunGang(config, parts, [&](int, MemoryHost& host) {
    host.on_step = [&](const StepReport& report) {
      if (report.step == 8) two_steps_later.Open();
    };
  });
  ASSERT_TRUE(result.outcomes[0].ok()) << result.outcomes[0].status();
  EXPECT_TRUE(waited_for_steps) << "step 8 was not trained while step 6 was being written";
  EXPECT_THAT(CommittedSteps(*result.hosts[0]), ElementsAre(6, 12, 18));
}

TEST_F(CheckpointSaverTest, WritesTheStateOfItsStepAndNotALaterOne) {
  TrainConfig config = SmallConfig();
  config.checkpoint.every_steps = 6;
  const GangResult calm = RunGang(config, ToyParts());
  const std::string expected = TensorBytes(CommittedNewestFirst(calm).at(2));
  std::filesystem::remove_all(config.checkpoint.folder);
  Gate later;
  TrainParts parts = ToyParts();
  parts.before_checkpoint_operation = [&](absl::string_view operation) {
    if (operation == "write a tensor") later.Wait();
    return absl::OkStatus();
  };
  const GangResult delayed = RunGang(config, parts, [&](int, MemoryHost& host) {
    host.on_step = [&](const StepReport& report) {
      if (report.step == 10) later.Open();
    };
  });
  ASSERT_TRUE(delayed.outcomes[0].ok()) << delayed.outcomes[0].status();
  EXPECT_EQ(TensorBytes(CommittedNewestFirst(delayed).at(2)), expected);
}

TEST_F(CheckpointSaverTest, EveryRankWritesAShareAndAnyNumberOfRanksReadsIt) {
  TrainConfig config = SmallConfig();
  config.world_size = 2;
  const GangResult result = RunGang(config, ToyParts());
  ASSERT_TRUE(result.outcomes[0].ok()) << result.outcomes[0].status();
  const std::string path = CommittedNewestFirst(result).at(0);
  EXPECT_TRUE(std::filesystem::exists(path + "/" + PartName(0)));
  EXPECT_TRUE(std::filesystem::exists(path + "/" + PartName(1)));
  config.world_size = 1;
  config.generation = 2;
  config.checkpoint.resume = {path};
  const GangResult one = RunGang(config, ToyParts());
  ASSERT_TRUE(one.outcomes[0].ok()) << one.outcomes[0].status();
  EXPECT_EQ(one.hosts[0]->CountNotes("RESUMED"), 1);
}

TEST_F(CheckpointSaverTest, CommitThatIsNotAnsweredDoesNotStopTraining) {
  TrainConfig config = SmallConfig();
  config.checkpoint.every_steps = 6;
  Gate answered;
  bool in_time = true;
  const GangResult result = RunGang(config, ToyParts(), [&](int, MemoryHost& host) {
    host.on_commit = [&](const CheckpointInfo&) {
      in_time &= answered.Wait();
      return std::vector<std::string>();
    };
    host.on_step = [&](const StepReport& report) {
      if (report.step == 11) answered.Open();
    };
  });
  ASSERT_TRUE(result.outcomes[0].ok()) << result.outcomes[0].status();
  EXPECT_TRUE(in_time) << "no step was trained while the commit waited";
}

TEST_F(CheckpointSaverTest, FailureOfOneRankEndsAllAndLeavesNoHalfCheckpoint) {
  TrainConfig config = SmallConfig();
  config.world_size = 2;
  TrainParts parts = ToyParts();
  // The folder vanishes under the writers: they cannot create their parts. Both remove it, at once.
  parts.before_checkpoint_operation = [&](absl::string_view operation) {
    std::error_code other_was_faster;
    if (operation == "create a part") {
      std::filesystem::remove_all(config.checkpoint.folder, other_was_faster);
    }
    return absl::OkStatus();
  };
  const GangResult result = RunGang(config, parts);
  for (const auto& outcome : result.outcomes) {
    EXPECT_FALSE(outcome.ok());
    EXPECT_THAT(std::string(outcome.status().message()), HasSubstr("checkpoint of step 18"));
  }
  EXPECT_TRUE(result.hosts[0]->commits.empty());
}

}  // namespace
}  // namespace jepa
