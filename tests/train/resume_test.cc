// Checkpoints of the loop: a resumed run is the uninterrupted one, bit for bit; what cannot be used
// is skipped, what belongs elsewhere is refused.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <tuple>

#include "common/file.h"
#include "tests/fakes/toy_learner.h"
#include "tests/train/run_fixture.h"
#include "worker/jepa/train_run.h"

namespace jepa {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

using RestoreTest = RunFixture;

class ResumeTest : public RunFixture,
                   public ::testing::WithParamInterface<std::tuple<MaskMode, int>> {
 protected:
  // The mask mode and the number of ranks of the case, a checkpoint every 7 steps.
  TrainConfig CaseConfig() const {
    TrainConfig config = SmallConfig();
    config.mask.mode = std::get<0>(GetParam());
    config.world_size = std::get<1>(GetParam());
    config.checkpoint.every_steps = 7;
    return config;
  }
};
INSTANTIATE_TEST_SUITE_P(ModesAndRanks, ResumeTest,
                         ::testing::Combine(::testing::Values(MaskMode::kFixed,
                                                              MaskMode::kReference),
                                            ::testing::Values(1, 2)));

TEST_P(ResumeTest, GivesTheBitsOfTheUninterruptedRun) {
  const TrainConfig config = CaseConfig();
  const GangResult whole = RunGang(config, ToyParts());
  ASSERT_TRUE(whole.outcomes[0].ok()) << whole.outcomes[0].status();
  ASSERT_THAT(CommittedSteps(*whole.hosts[0]), ElementsAre(7, 14, 18));

  TrainConfig again = config;
  again.generation = 2;
  again.checkpoint.resume = {whole.hosts[0]->commits[0].path};
  const GangResult resumed = RunGang(again, ToyParts());
  for (const auto& outcome : resumed.outcomes) ASSERT_TRUE(outcome.ok()) << outcome.status();
  const std::vector<RecordedNote> notes = resumed.hosts[0]->notes();
  ASSERT_THAT(notes, SizeIs(1));
  EXPECT_EQ(notes[0].code, "RESUMED");
  EXPECT_EQ(notes[0].step, 7);
  const std::vector<double> losses = whole.hosts[0]->losses();
  EXPECT_EQ(resumed.hosts[0]->losses(), std::vector<double>(losses.begin() + 7, losses.end()));
  EXPECT_EQ(TensorBytes(CommittedNewestFirst(resumed)[0]),
            TensorBytes(CommittedNewestFirst(whole)[0]));
}

// Whenever ranks are killed, the job ends where it would have ended without.
TEST_P(ResumeTest, KillsAtRandomPointsLeaveNoTrace) {
  TrainConfig config = CaseConfig();
  config.checkpoint.every_steps = 2;
  const GangResult calm = RunGang(config, ToyParts());
  ASSERT_TRUE(calm.outcomes[0].ok()) << calm.outcomes[0].status();
  const std::vector<double> losses = calm.hosts[0]->losses();
  int kills = 0;
  for (uint64_t seed = 1; seed <= 6; ++seed) {
    config.checkpoint.folder = NewFolder();
    const KilledRun killed = RunWithKills(config, ToyParts(), seed);
    ASSERT_FALSE(killed.checkpoint.empty());
    kills += killed.kills;
    ASSERT_EQ(killed.losses.size(), losses.size());
    for (const auto& [step, loss] : killed.losses) {
      EXPECT_EQ(loss, losses[static_cast<size_t>(step - 1)]) << "seed " << seed << " step " << step;
    }
    EXPECT_EQ(TensorBytes(killed.checkpoint), TensorBytes(CommittedNewestFirst(calm)[0])) << seed;
    EXPECT_TRUE(ijepa::RemoveTree(config.checkpoint.folder).ok());
  }
  EXPECT_GT(kills, 6);
}

// A checkpoint of two ranks continues on one, because masks and data belong to shards.
TEST_P(ResumeTest, ContinuesOnAnotherNumberOfRanks) {
  const TrainConfig config = CaseConfig();
  const GangResult whole = RunGang(config, ToyParts());
  ASSERT_TRUE(whole.outcomes[0].ok()) << whole.outcomes[0].status();
  TrainConfig other = config;
  other.generation = 2;
  other.world_size = 3 - config.world_size;
  other.checkpoint.resume = {whole.hosts[0]->commits[0].path};
  const GangResult resumed = RunGang(other, ToyParts());
  ASSERT_TRUE(resumed.outcomes[0].ok()) << resumed.outcomes[0].status();
  EXPECT_NEAR(resumed.hosts[0]->losses().back(), whole.hosts[0]->losses().back(), 1e-5);
}

// Flips one byte in the middle of a checkpoint's first part.
void Corrupt(const std::string& checkpoint) {
  const std::string part = checkpoint + "/part-0000.bin";
  std::string bytes = ijepa::ReadFile(part).value();
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 1);
  ASSERT_TRUE(ijepa::WriteFileAtomically(part, bytes).ok());
}

TEST_F(RestoreTest, CorruptNewestCheckpointFallsBackAndSaysSo) {
  TrainConfig config = SmallConfig();
  config.world_size = 2;
  config.checkpoint.every_steps = 6;
  const GangResult whole = RunGang(config, ToyParts());
  config.checkpoint.resume = CommittedNewestFirst(whole);
  config.checkpoint.resume.erase(config.checkpoint.resume.begin());  // Steps 12 and 6 are left.
  Corrupt(config.checkpoint.resume[0]);
  config.generation = 2;
  const GangResult resumed = RunGang(config, ToyParts());
  ASSERT_TRUE(resumed.outcomes[0].ok()) << resumed.outcomes[0].status();
  const std::vector<RecordedNote> notes = resumed.hosts[0]->notes();
  ASSERT_THAT(notes, SizeIs(2));
  EXPECT_EQ(notes[0].code, "CHECKPOINT_UNUSABLE");
  EXPECT_THAT(notes[0].message, HasSubstr(config.checkpoint.resume[0]));
  EXPECT_EQ(notes[1].code, "RESUMED");
  EXPECT_EQ(notes[1].step, 6);
  EXPECT_EQ(resumed.hosts[0]->losses().back(), whole.hosts[0]->losses().back());
}

TEST_F(RestoreTest, CheckpointThatOneRankCannotUseIsSkippedByAll) {
  TrainConfig config = SmallConfig();
  config.world_size = 2;
  config.checkpoint.every_steps = 6;
  const GangResult whole = RunGang(config, ToyParts());
  config.checkpoint.resume = CommittedNewestFirst(whole);
  config.checkpoint.resume.erase(config.checkpoint.resume.begin());  // Steps 12 and 6 are left.
  config.generation = 2;
  TrainParts parts = ToyParts();
  parts.make_learner =
      [](const TrainConfig& rank_config) -> absl::StatusOr<std::unique_ptr<Learner>> {
    ToyFaults faults;
    if (rank_config.rank == 1) faults.unusable_step = 12;
    return std::make_unique<ToyLearner>(rank_config, faults);
  };
  const GangResult resumed = RunGang(config, parts);
  for (const auto& outcome : resumed.outcomes) ASSERT_TRUE(outcome.ok()) << outcome.status();
  EXPECT_THAT(resumed.hosts[0]->notes().at(0).message, HasSubstr("another rank"));
  for (const auto& host : resumed.hosts) EXPECT_EQ(host->steps.at(0).step, 7);
  EXPECT_EQ(resumed.hosts[0]->losses().back(), whole.hosts[0]->losses().back());
}

TEST_F(RestoreTest, NoUsableCheckpointIsDataLossAndNotAFreshStart) {
  TrainConfig config = SmallConfig();
  const GangResult whole = RunGang(config, ToyParts());
  config.checkpoint.resume = CommittedNewestFirst(whole);
  Corrupt(config.checkpoint.resume[0]);
  config.checkpoint.resume.push_back(folder_ + "/step-000000000003.g1");
  const GangResult resumed = RunGang(config, ToyParts());
  EXPECT_EQ(resumed.outcomes[0].status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(resumed.hosts[0]->CountNotes("CHECKPOINT_UNUSABLE"), 2);
  EXPECT_THAT(resumed.hosts[0]->steps, IsEmpty());
}

TEST_F(RestoreTest, CheckpointOfAnotherRunIsRefusedWithBothNames) {
  const TrainConfig config = SmallConfig();
  const GangResult whole = RunGang(config, ToyParts());
  const auto refusal = [&](const std::function<void(TrainConfig&)>& change) {
    TrainConfig other = config;
    other.checkpoint.resume = CommittedNewestFirst(whole);
    change(other);
    const absl::Status status = RunGang(other, ToyParts()).outcomes[0].status();
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
    return std::string(status.message());
  };
  EXPECT_THAT(refusal([](TrainConfig& other) { other.model.embed_dim = 12; }),
              ::testing::AllOf(HasSubstr("toy 16"), HasSubstr("toy 12")));
  EXPECT_THAT(refusal([](TrainConfig& other) { other.seed = 99; }),
              ::testing::AllOf(HasSubstr("seed is 3"), HasSubstr("99")));
  EXPECT_THAT(refusal([](TrainConfig& other) { other.job_uid = "job-b"; }),
              ::testing::AllOf(HasSubstr("job-a"), HasSubstr("job-b")));
  EXPECT_THAT(refusal([](TrainConfig& other) { other.data.batch_size = 2; }),
              HasSubstr("images seen is 144"));
}

TEST_F(RestoreTest, FinishedRunResumedAtItsEndDoesNothingMore) {
  TrainConfig config = SmallConfig();
  const GangResult whole = RunGang(config, ToyParts());
  config.checkpoint.resume = CommittedNewestFirst(whole);
  const GangResult again = RunGang(config, ToyParts());
  ASSERT_TRUE(again.outcomes[0].ok()) << again.outcomes[0].status();
  EXPECT_EQ(*again.outcomes[0], TrainOutcome::kCompleted);
  EXPECT_THAT(again.hosts[0]->steps, IsEmpty());
  EXPECT_THAT(again.hosts[0]->commits, IsEmpty());
}

}  // namespace
}  // namespace jepa
