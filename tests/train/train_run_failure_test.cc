// The loop when something is wrong: one clear status, nothing lost, no rank left waiting.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <filesystem>

#include "common/file.h"
#include "tests/fakes/toy_learner.h"
#include "tests/train/run_fixture.h"
#include "worker/jepa/probe_runner.h"
#include "worker/jepa/train_run.h"

namespace jepa {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

using TrainRunFailureTest = RunFixture;

TrainParts FaultyParts(const ToyFaults& faults) {
  TrainParts parts;
  parts.make_learner =
      [faults](const TrainConfig& config) -> absl::StatusOr<std::unique_ptr<Learner>> {
    return std::make_unique<ToyLearner>(config, faults);
  };
  parts.peer_timeout = absl::Seconds(30);
  return parts;
}

int EntriesIn(const std::string& folder) {
  int count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(folder)) ++count;
  return count;
}

std::string Message(const absl::StatusOr<TrainOutcome>& outcome) {
  return std::string(outcome.status().message());
}

TEST_F(TrainRunFailureTest, LossThatIsNotFiniteNamesStepLastLossAndAdvice) {
  TrainConfig config = SmallConfig();
  config.world_size = 2;
  config.faults.non_finite = NonFiniteAction::kFail;
  ToyFaults faults;
  faults.nan_loss_at = 9;
  const GangResult result = RunGang(config, FaultyParts(faults));
  for (const auto& outcome : result.outcomes) {
    EXPECT_EQ(outcome.status().code(), absl::StatusCode::kOutOfRange) << outcome.status();
    EXPECT_THAT(Message(outcome),
                AllOf(HasSubstr("step 10"), HasSubstr("at step 9"), HasSubstr("optimization.lr")));
  }
  EXPECT_EQ(result.hosts[0]->steps.size(), 9u);
  EXPECT_THAT(result.hosts[0]->commits, IsEmpty());
}

TEST_F(TrainRunFailureTest, GradientThatIsNotFiniteStopsEveryRank) {
  TrainConfig config = SmallConfig();
  config.world_size = 2;
  config.faults.non_finite = NonFiniteAction::kFail;
  ToyFaults faults;
  faults.nan_gradient_at = 2;
  const GangResult result = RunGang(config, FaultyParts(faults));
  for (const auto& outcome : result.outcomes) {
    EXPECT_EQ(outcome.status().code(), absl::StatusCode::kOutOfRange) << outcome.status();
    EXPECT_THAT(Message(outcome), AllOf(HasSubstr("step 3"), HasSubstr("gradient")));
  }
}

TEST_F(TrainRunFailureTest, FullDiskEndsTheAttemptWithoutAHalfCheckpoint) {
  // Larger than any disk, and unreadable: only the space check can answer.
  constexpr int64_t kFloats = int64_t{1} << 44;
  void* memory = mmap(nullptr, kFloats * sizeof(float), PROT_NONE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) GTEST_SKIP() << "address space is limited (ulimit -v)";
  ToyFaults faults;
  faults.extra_tensor = TensorToSave{"huge", TensorType::kFloat32, {kFloats}, memory};
  TrainConfig config = SmallConfig();
  config.world_size = 2;
  config.checkpoint.every_steps = 5;
  const GangResult result = RunGang(config, FaultyParts(faults));
  munmap(memory, kFloats * sizeof(float));
  EXPECT_EQ(result.outcomes[0].status().code(), absl::StatusCode::kResourceExhausted)
      << result.outcomes[0].status();
  EXPECT_THAT(Message(result.outcomes[0]), HasSubstr("checkpoint of step 5"));
  EXPECT_EQ(result.outcomes[1].status().code(), absl::StatusCode::kAborted)
      << result.outcomes[1].status();
  EXPECT_EQ(result.hosts[0]->steps.size(), 5u);
  EXPECT_THAT(result.hosts[0]->commits, IsEmpty());
  EXPECT_EQ(EntriesIn(folder_), 0);
}

TEST_F(TrainRunFailureTest, RefusedCommitStopsTheRun) {
  TrainConfig config = SmallConfig();
  config.checkpoint.every_steps = 3;
  const GangResult result = RunGang(config, ToyParts(), [](int, MemoryHost& host) {
    host.on_commit = [](const CheckpointInfo&) -> absl::StatusOr<std::vector<std::string>> {
      return absl::AbortedError("generation 2 exists");
    };
  });
  EXPECT_EQ(result.outcomes[0].status(),
            absl::AbortedError("checkpoint of step 3: generation 2 exists"));
  // It is noticed at the next save at the latest.
  EXPECT_GE(result.hosts[0]->steps.size(), 3u);
  EXPECT_LE(result.hosts[0]->steps.size(), 6u);
}

TEST_F(TrainRunFailureTest, SupersededRankStopsBeforeItsNextStep) {
  const GangResult result = RunGang(SmallConfig(), ToyParts(), [](int, MemoryHost& host) {
    host.alive = [&host]() -> absl::Status {
      if (host.steps.size() < 2) return absl::OkStatus();
      return absl::AbortedError("superseded by generation 2");
    };
  });
  EXPECT_EQ(result.outcomes[0].status(), absl::AbortedError("superseded by generation 2"));
  EXPECT_EQ(result.hosts[0]->steps.size(), 2u);
}

TEST_F(TrainRunFailureTest, RankThatFailsTakesItsPeersAlong) {
  TrainConfig config = SmallConfig();
  config.world_size = 2;
  const GangResult result = RunGang(config, ToyParts(), [](int rank, MemoryHost& host) {
    if (rank == 0) return;
    host.alive = [&host]() -> absl::Status {
      return host.steps.size() < 2 ? absl::OkStatus() : absl::InternalError("rank 1 dies");
    };
  });
  EXPECT_EQ(result.outcomes[1].status(), absl::InternalError("rank 1 dies"));
  EXPECT_EQ(result.outcomes[0].status().code(), absl::StatusCode::kAborted)
      << result.outcomes[0].status();
}

TEST_F(TrainRunFailureTest, EmptyOrMissingDataFolderIsNamed) {
  TrainConfig config = SmallConfig();
  config.data.path = NewFolder();
  const GangResult empty = RunGang(config, ToyParts());
  EXPECT_EQ(empty.outcomes[0].status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(Message(empty.outcomes[0]), HasSubstr(config.data.path));
  ASSERT_TRUE(ijepa::RemoveTree(config.data.path).ok());
  const GangResult missing = RunGang(config, ToyParts());
  EXPECT_EQ(missing.outcomes[0].status().code(), absl::StatusCode::kNotFound);
}

TEST_F(TrainRunFailureTest, LabelsAreReadByRankZeroAlone) {
  TrainConfig config = SmallConfig();
  config.world_size = 2;
  config.eval.path = folder_ + "/labelled";
  ASSERT_TRUE(ijepa::MakeFolders(config.eval.path).ok());
  ASSERT_TRUE(ijepa::WriteFileAtomically(config.eval.path + "/a.jpg", "").ok());
  ASSERT_TRUE(ijepa::WriteFileAtomically(config.eval.path + "/labels.csv", "no header").ok());
  config.rank = 1;
  EXPECT_TRUE(ProbeRunner::Open(config).ok());
  config.rank = 0;
  EXPECT_TRUE(absl::IsInvalidArgument(ProbeRunner::Open(config).status()));
}

TEST_F(TrainRunFailureTest, DataSmallerThanOneGlobalBatchSaysWhatToLower) {
  TrainConfig config = SmallConfig();
  config.data.batch_size = 40;
  const GangResult result = RunGang(config, ToyParts());
  EXPECT_EQ(result.outcomes[0].status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(Message(result.outcomes[0]),
              AllOf(HasSubstr("48 images"), HasSubstr("needs 80"), HasSubstr("data.batch_size")));
}

TEST_F(TrainRunFailureTest, RanksWithDifferentDataAreStoppedBeforeTheFirstStep) {
  const std::string copy = NewFolder();
  std::filesystem::copy(*images_folder_, copy, std::filesystem::copy_options::recursive);
  std::filesystem::remove(copy + "/images/000000.jpg");
  TrainConfig config = SmallConfig();
  config.world_size = 2;
  MemoryRendezvous rendezvous;
  MemoryHost host_0(rendezvous), host_1(rendezvous);
  TrainConfig other = config;
  other.rank = 1;
  other.data.path = copy;
  absl::StatusOr<TrainOutcome> outcome_1 = absl::UnknownError("not run");
  std::thread rank_1([&] { outcome_1 = RunTraining(other, host_1, ToyParts()); });
  const absl::StatusOr<TrainOutcome> outcome_0 = RunTraining(config, host_0, ToyParts());
  rank_1.join();
  EXPECT_EQ(outcome_0.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(Message(outcome_0), AllOf(HasSubstr("48 images at rank 0"), HasSubstr("47")));
  EXPECT_EQ(outcome_1.status().code(), absl::StatusCode::kFailedPrecondition);
  ASSERT_TRUE(ijepa::RemoveTree(copy).ok());
}

TEST_F(TrainRunFailureTest, UnreadableImagesAreCountedAndNamed) {
  const std::string copy = NewFolder();
  std::filesystem::copy(*images_folder_, copy, std::filesystem::copy_options::recursive);
  ASSERT_TRUE(ijepa::WriteFileAtomically(copy + "/images/000007.jpg", "not an image").ok());
  TrainConfig config = SmallConfig();
  config.data.path = copy;
  config.eval.path = copy;
  config.data.max_bad_fraction = 0.5;
  const GangResult result = RunGang(config, ToyParts());
  ASSERT_TRUE(result.outcomes[0].ok()) << result.outcomes[0].status();
  EXPECT_GT(result.hosts[0]->steps.back().bad_images, 0);
  EXPECT_GT(result.hosts[0]->CountNotes("BAD_IMAGE"), 0);
  EXPECT_THAT(result.hosts[0]->notes()[0].message, HasSubstr("000007.jpg"));
  // 48 minus the bad one, minus what the split of a small set leaves unscored: nothing.
  EXPECT_EQ(result.hosts[0]->probes.at(0).scores.at(0).images, 47);
  ASSERT_TRUE(ijepa::RemoveTree(copy).ok());
}

}  // namespace
}  // namespace jepa
