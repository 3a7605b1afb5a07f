// Which checkpoints stay: the newest, ends of epochs, the best probe, pinned ones, ones in use.
#include "coordinator/core/retention.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core_harness.h"

namespace ijepa::coordinator {
namespace {

using ::testing::ElementsAre;

class RetentionTest : public ::testing::Test {
 protected:
  // A job of one rank, which trains.
  void Begin(const v1::CheckpointSpec& rules) {
    core_.Connect("node-a", 1);
    CreateJob create;
    create.spec = SpecFor("job", 1);
    *create.spec.mutable_checkpoint() = rules;
    create.id = create.uid = "job";
    ASSERT_TRUE(core_.Create(create).ok());
    core_.RunTo("job", 1);
  }

  void Commit(int64_t step) {
    v1::FromRank message;
    message.set_sequence(step);
    v1::Checkpoint& checkpoint = *message.mutable_checkpoint()->mutable_checkpoint();
    checkpoint.set_step(step);
    checkpoint.set_steps_per_epoch(10);
    checkpoint.set_path("/c/job/" + std::to_string(step));
    core_.FromRank("job", 0, message);
  }

  void Probe(int64_t step, double accuracy) {
    v1::FromRank message;
    message.set_sequence(1000 + step);
    message.mutable_probe()->set_step(step);
    message.mutable_probe()->add_scores()->set_accuracy(accuracy);
    core_.FromRank("job", 0, message);
  }

  std::vector<int64_t> Steps() const {
    std::vector<int64_t> steps;
    for (const v1::Checkpoint& kept : core_.job("job").checkpoints) steps.push_back(kept.step());
    return steps;
  }

  std::vector<std::string> Reasons(size_t index) const {
    return KeptFor(core_.state(), core_.job("job"), index);
  }

  CoreHarness core_;
};

TEST_F(RetentionTest, KeepsTheNewestTwoWhateverTheRulesSay) {
  Begin({});
  for (const int64_t step : {5, 6, 7}) Commit(step);
  EXPECT_THAT(Steps(), ElementsAre(6, 7));
}

TEST_F(RetentionTest, KeepsTheEndsOfEveryKthEpoch) {
  v1::CheckpointSpec rules;
  rules.set_keep_last(1);
  rules.set_keep_every_epochs(2);
  Begin(rules);
  for (const int64_t step : {10, 20, 25, 40, 45, 50, 55}) Commit(step);
  EXPECT_THAT(Steps(), ElementsAre(20, 40, 50, 55));
  EXPECT_THAT(Reasons(0), ElementsAre("EPOCH"));
  EXPECT_THAT(Reasons(3), ElementsAre("NEWEST"));
}

TEST_F(RetentionTest, KeepsTheBestProbeUntilABetterOne) {
  v1::CheckpointSpec rules;
  rules.set_keep_last(1);
  rules.set_keep_best(true);
  Begin(rules);
  Probe(0, 0.9);  // The random initialisation has no checkpoint.
  Commit(5);
  Probe(5, 0.3);
  for (const int64_t step : {6, 7, 8}) Commit(step);
  EXPECT_THAT(Steps(), ElementsAre(5, 7, 8));
  EXPECT_THAT(Reasons(0), ElementsAre("BEST"));
  Probe(8, 0.4);
  for (const int64_t step : {9, 10, 11}) Commit(step);
  EXPECT_THAT(Steps(), ElementsAre(8, 10, 11));
}

TEST_F(RetentionTest, KeepsAPinnedOneThroughARestartUntilItIsUnpinned) {
  Begin({});
  Commit(5);
  const absl::StatusOr<v1::Job> pinned = core_.Pin("job/checkpoints/5", true);
  ASSERT_TRUE(pinned.ok()) << pinned.status();
  core_.Restart();
  core_.Connect("node-a", 1);
  core_.Report("node-a");
  for (const int64_t step : {6, 7, 8}) Commit(step);
  EXPECT_THAT(Steps(), ElementsAre(5, 7, 8));
  EXPECT_THAT(Reasons(0), ElementsAre("PINNED"));
  EXPECT_TRUE(core_.HasEvent("job", "CHECKPOINT_PINNED"));

  ASSERT_TRUE(core_.Pin("projects/default/jobs/job/checkpoints/5-1", false).ok());
  EXPECT_THAT(Steps(), ElementsAre(5, 7, 8)) << "nothing is dropped before the next commit";
  Commit(9);
  EXPECT_THAT(Steps(), ElementsAre(8, 9));
}

TEST_F(RetentionTest, APinOfWhatIsNotThereIsRefusedByName) {
  Begin({});
  Commit(5);
  for (const char* name :
       {"job/checkpoints/6", "job/checkpoints/5-2", "other/checkpoints/5", "5"}) {
    const absl::Status status = core_.Pin(name, true).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kNotFound) << name;
    EXPECT_THAT(status.message(), ::testing::HasSubstr(name));
  }
}

TEST_F(RetentionTest, KeepsWhatAnotherJobIsToStartFrom) {
  Begin({});
  Commit(5);
  CreateJob create;
  create.spec = SpecFor("next", 1);
  create.spec.mutable_meta()->set_load_checkpoint(true);
  create.spec.mutable_meta()->set_read_checkpoint("/c/job/5/");
  create.id = create.uid = "next";
  ASSERT_TRUE(core_.Create(create).ok());  // Waits for the one slot.
  for (const int64_t step : {6, 50, 51, 52}) Commit(step);
  EXPECT_THAT(Steps(), ElementsAre(5, 51, 52)) << "/c/job/50 only begins like /c/job/5";
  EXPECT_THAT(Reasons(0), ElementsAre("IN_USE"));
  ASSERT_TRUE(core_.Cancel("next").ok());
  Commit(53);
  EXPECT_THAT(Steps(), ElementsAre(52, 53));
}

}  // namespace
}  // namespace ijepa::coordinator
