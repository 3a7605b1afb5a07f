// A process that dies before any of the file operations of a checkpoint that two ranks write beside
// training, or around its commit: the next attempt finds whole whatever was committed, and ends
// with the bits of a run that nothing happened to.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <fstream>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "common/file.h"
#include "tests/train/run_fixture.h"

namespace jepa {
namespace {

class CrashResumeTest : public RunFixture {
 protected:
  static constexpr int kDied = 9;
  static constexpr int kFailed = 1;
  static constexpr int kFellBack = 2;
  static constexpr int kNoProcess = -1;

  // 12 steps of two ranks, two checkpoints, in a folder of its own.
  TrainConfig NewJob() const {
    TrainConfig config = SmallConfig();
    config.world_size = 2;
    config.optimization.epochs = 2;
    config.checkpoint.every_steps = 6;
    config.checkpoint.folder = NewFolder();
    return config;
  }

  // Checkpoints of the job that were committed, newest first.
  static std::vector<std::string> Registry(const TrainConfig& config) {
    std::vector<std::string> paths;
    std::ifstream lines(config.checkpoint.folder + "/registry");
    for (std::string path; std::getline(lines, path);) paths.insert(paths.begin(), path);
    return paths;
  }

  // Runs an attempt in a process of its own, which dies before its operation number `fatal`, from
  // 0. Returns how it ended.
  static int RunAndDieBefore(const TrainConfig& config, int fatal) {
    const pid_t child = fork();
    if (child < 0) return kNoProcess;
    if (child == 0) _exit(Run(config, fatal));
    int status = 0;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : kNoProcess;
  }

  // An attempt that nothing happens to: from what is committed to the end. Gives the bits there.
  static std::string BitsAtTheEnd(TrainConfig config, int64_t generation) {
    config.generation = generation;
    config.checkpoint.resume = Registry(config);
    EXPECT_EQ(RunAndDieBefore(config, -1), 0);
    const std::vector<std::string> committed = Registry(config);
    EXPECT_FALSE(committed.empty());
    return committed.empty() ? "" : TensorBytes(committed[0]);
  }

 private:
  static int Run(const TrainConfig& config, int fatal) {
    std::atomic<int> operations = 0;
    const auto live = [&] {
      if (operations++ == fatal) _exit(kDied);
    };
    TrainParts parts = ToyParts();
    parts.before_checkpoint_operation = [&](absl::string_view) {
      live();
      return absl::OkStatus();
    };
    const GangResult result = RunGang(config, parts, [&](int, MemoryHost& host) {
      host.on_commit = [&](const CheckpointInfo& checkpoint) {
        live();
        std::ofstream(config.checkpoint.folder + "/registry", std::ios::app)
            << checkpoint.path << '\n';
        live();
        return std::vector<std::string>();
      };
    });
    for (const auto& outcome : result.outcomes) {
      if (!outcome.ok()) return kFailed;
    }
    return result.hosts[0]->CountNotes("CHECKPOINT_UNUSABLE") == 0 ? 0 : kFellBack;
  }
};

TEST_F(CrashResumeTest, EveryPointOfDeathLeavesACheckpointFromWhichTheSameBitsFollow) {
  const TrainConfig calm = NewJob();
  const std::string expected = BitsAtTheEnd(calm, 1);
  ASSERT_FALSE(expected.empty());
  int points = 0;
  size_t most_committed = 0;
  for (bool died = true; died; ++points) {
    const TrainConfig job = NewJob();
    const int ended = RunAndDieBefore(job, points);
    died = ended == kDied;
    ASSERT_TRUE(died || ended == 0) << "point " << points << " ended with " << ended;
    if (died) {
      most_committed = std::max(most_committed, Registry(job).size());
      EXPECT_EQ(BitsAtTheEnd(job, 2), expected) << "point " << points;
    }
    EXPECT_TRUE(ijepa::RemoveTree(job.checkpoint.folder).ok());
  }
  EXPECT_EQ(most_committed, 2) << "the last death was after the last commit";
  // Of each checkpoint: folder, two parts of three operations or more, manifest, syncs, rename,
  // commit.
  EXPECT_GE(points, 25);
  EXPECT_TRUE(ijepa::RemoveTree(calm.checkpoint.folder).ok());
}

}  // namespace
}  // namespace jepa
