// A process killed before any of the file operations of a checkpoint leaves the older checkpoint
// whole and no broken one: what carries a final name verifies.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/fakes/temporary_folder.h"
#include "worker/jepa/checkpoint/checkpoint.h"
#include "worker/jepa/checkpoint/checkpoint_name.h"

namespace jepa {
namespace {

namespace fs = std::filesystem;

constexpr int kKilled = 9;

class CheckpointCrashTest : public ::testing::Test {
 protected:
  CheckpointCrashTest() : values_(1000, 1.5f) { folder_ = ijepa::MakeTemporaryFolder(); }
  ~CheckpointCrashTest() override { fs::remove_all(folder_); }

  absl::Status Save(int64_t step, const CheckpointOptions& options) const {
    CheckpointMeta meta;
    meta.job_uid = "job-1";
    meta.generation = 1;
    meta.step = step;
    std::vector<TensorToSave> tensors;
    for (int i = 0; i < 3; ++i) {
      tensors.push_back(
          {absl::StrCat("encoder/", i), TensorType::kFloat32, {1000}, values_.data()});
    }
    return WriteCheckpoint(folder_, meta, tensors, options).status();
  }

  // Saves `step` in a child that dies before its operation number `fatal` (from 0). False if there
  // are fewer.
  bool SaveAndDieBefore(int64_t step, int fatal) const {
    const pid_t child = fork();
    if (child == 0) {
      int operation = 0;
      CheckpointOptions options;
      options.part_bytes = 1;
      options.before_operation = [&](absl::string_view) {
        if (operation++ == fatal) _exit(kKilled);
        return absl::OkStatus();
      };
      _exit(Save(step, options).ok() ? 0 : 1);
    }
    int status = 0;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) != 1) << "the save itself failed";
    return WEXITSTATUS(status) == kKilled;
  }

  // Steps of what carries a final name; each must verify.
  std::vector<int64_t> WholeSteps() const {
    std::vector<int64_t> steps;
    for (const auto& entry : fs::directory_iterator(folder_)) {
      const auto name = ParseCheckpointName(entry.path().filename().string());
      EXPECT_TRUE(name.has_value()) << entry.path();
      if (!name.has_value() || name->unfinished) continue;
      const auto checkpoint = CheckpointReader::Open(entry.path().string());
      EXPECT_TRUE(checkpoint.ok()) << checkpoint.status();
      steps.push_back(name->step);
    }
    std::sort(steps.begin(), steps.end());
    return steps;
  }

  std::vector<float> values_;
  std::string folder_;
};

TEST_F(CheckpointCrashTest, EveryPointOfDeathLeavesAWholeCheckpoint) {
  ASSERT_TRUE(Save(1, {}).ok());
  int points = 0;
  while (SaveAndDieBefore(2, points)) {
    const std::vector<int64_t> steps = WholeSteps();
    ASSERT_FALSE(steps.empty());
    EXPECT_EQ(steps.front(), 1);
    fs::remove_all(absl::StrCat(folder_, "/", CheckpointFolderName(2, 1)));
    ++points;
  }
  EXPECT_GE(points, 15);  // Folder, three parts of four operations, manifest, syncs and rename.
  EXPECT_EQ(WholeSteps(), (std::vector<int64_t>{1, 2}));
}

TEST_F(CheckpointCrashTest, TheNextAttemptWritesTheSameStepOverWhatIsLeft) {
  ASSERT_TRUE(SaveAndDieBefore(2, 5));
  ASSERT_TRUE(WholeSteps().empty());
  ASSERT_TRUE(Save(2, {}).ok());
  EXPECT_EQ(WholeSteps(), std::vector<int64_t>{2});
}

}  // namespace
}  // namespace jepa
