// Messages of ranks: commits and retention, rendezvous, probes, notes, figures.
#include <gtest/gtest.h>

#include "coordinator/core/events.h"
#include "coordinator/core/progress.h"
#include "core_harness.h"

namespace ijepa::coordinator {
namespace {

class CoreRankTest : public ::testing::Test {
 protected:
  void SetUp() override {
    core.Connect("node-a", 2);
    id = core.Submit("job", 2);
    core.RunTo(id, 1);
  }

  v1::FromRank PutOf(const std::string& key, const std::string& value) {
    v1::FromRank message;
    message.set_sequence(5);
    message.mutable_put()->set_key(key);
    message.mutable_put()->set_value(value);
    return message;
  }

  v1::FromRank GetOf(const std::string& key, int64_t sequence) {
    v1::FromRank message;
    message.set_sequence(sequence);
    message.mutable_get()->set_key(key);
    return message;
  }

  CoreHarness core;
  std::string id;
};

TEST_F(CoreRankTest, CommitsOnlyStepsPastTheLastAndTheSamePathAgain) {
  EXPECT_TRUE(core.Commit(id, 10, "/c/10").committed());
  EXPECT_TRUE(core.Commit(id, 10, "/c/10").committed()) << "a lost answer is asked for again";
  const v1::CommitResult other = core.Commit(id, 10, "/c/other");
  EXPECT_FALSE(other.committed());
  EXPECT_FALSE(other.message().empty());
  EXPECT_FALSE(core.Commit(id, 9, "/c/9").committed());
  EXPECT_TRUE(core.Commit(id, 11, "/c/11").committed());
  EXPECT_EQ(core.job(id).proto.status().latest_checkpoint().name(),
            "projects/default/jobs/job/checkpoints/11-1");
}

TEST_F(CoreRankTest, KeepsTheNewestAndKeepLastBeforeItAndNamesTheRestForDeletion) {
  std::vector<std::string> deletable;
  for (int step = 10; step <= 50; step += 10) {
    const v1::CommitResult result = core.Commit(id, step, "/c/" + std::to_string(step));
    ASSERT_TRUE(result.committed());
    deletable.assign(result.deletable().begin(), result.deletable().end());
  }
  EXPECT_EQ(core.job(id).checkpoints.size(), 3);
  EXPECT_EQ(core.job(id).checkpoints.front().step(), 30);
  EXPECT_EQ(core.store().Range("checkpoint/")->size(), 3);
  EXPECT_EQ(deletable, (std::vector<std::string>{"/c/20", "/c/10"}))
      << "the last ones are repeated";
}

TEST_F(CoreRankTest, ADrainedOrCompletedJobTakesNoCommitAnyMore) {
  core.Complete("node-a", id);
  EXPECT_FALSE(core.Commit(id, 99, "/c/99").committed());
  EXPECT_FALSE(core.job(id).proto.status().has_latest_checkpoint());
}

// A check that found the link from rank 0 to rank 1 slow, as a rank tells it.
v1::FromRank NetworkOf(double gbps, bool slow) {
  v1::FromRank message;
  message.set_sequence(9);
  v1::NetworkCheck& check = *message.mutable_network();
  check.set_bus_gigabytes_per_second(23.5);
  check.mutable_slowest()->set_from_rank(0);
  check.mutable_slowest()->set_to_rank(1);
  check.mutable_slowest()->set_to_node("an old name");
  check.mutable_slowest()->set_gbps(gbps);
  if (slow) *check.add_slow() = check.slowest();
  return message;
}

TEST_F(CoreRankTest, ANetworkCheckIsAnEventWithBothNodesAndPartOfTheAttempt) {
  const std::vector<v1::ToRank> answers = core.FromRank(id, 0, NetworkOf(91, false));
  ASSERT_EQ(answers.size(), 1);
  EXPECT_TRUE(answers[0].has_ack());
  core.FromRank(id, 0, NetworkOf(91, false));  // A lost acknowledgement.
  int events = 0;
  for (const v1::Event& event : core.job(id).proto.status().events()) {
    if (event.code() != "NETWORK_CHECKED") continue;
    ++events;
    EXPECT_EQ(event.message(),
              "bus bandwidth 23.5 GB/s; slowest link: rank 0 on node-a to rank 1 on node-a 91 "
              "Gbit/s");
  }
  EXPECT_EQ(events, 1);
  EXPECT_EQ(core.job(id).proto.status().attempts(0).network().slowest().to_node(), "node-a");
  core.Restart();
  EXPECT_EQ(core.job(id).proto.status().attempts(0).network().slowest().gbps(), 91);
}

TEST_F(CoreRankTest, ASlowLinkHasAnEventOfItsOwn) {
  core.FromRank(id, 0, NetworkOf(3, true));
  EXPECT_TRUE(core.HasEvent(id, "SLOW_LINK"));
  EXPECT_FALSE(core.HasEvent(id, "NETWORK_CHECKED"));
}

TEST_F(CoreRankTest, ANetworkCheckOfRanksThatAreNoneIsNotTaken) {
  v1::FromRank message = NetworkOf(3, true);
  message.mutable_network()->mutable_slow(0)->set_to_rank(2);
  EXPECT_TRUE(core.FromRank(id, 0, message).at(0).has_ack());
  core.FromRank(id, 1, NetworkOf(3, true));
  EXPECT_FALSE(core.HasEvent(id, "SLOW_LINK"));
  EXPECT_FALSE(core.job(id).proto.status().attempts(0).has_network());
}

TEST_F(CoreRankTest, RendezvousAnswersWaitersWhenTheKeyComes) {
  EXPECT_TRUE(core.FromRank(id, 1, GetOf("nccl/id", 3)).empty());
  const std::vector<v1::ToRank> answers = core.FromRank(id, 0, PutOf("nccl/id", "secret"));
  ASSERT_EQ(answers.size(), 2);
  EXPECT_EQ(answers[0].value().value(), "secret");
  EXPECT_EQ(answers[0].sequence(), 3);
  EXPECT_TRUE(answers[1].has_ack());
  EXPECT_EQ(core.FromRank(id, 1, GetOf("nccl/id", 4)).at(0).value().value(), "secret");
}

TEST_F(CoreRankTest, ARendezvousKeyIsWrittenOnce) {
  core.FromRank(id, 0, PutOf("k", "first"));
  core.FromRank(id, 1, PutOf("k", "second"));
  EXPECT_EQ(core.FromRank(id, 1, GetOf("k", 9)).at(0).value().value(), "first");
}

TEST_F(CoreRankTest, ARepeatedGetIsAnsweredOnceWithTheNewestSequence) {
  core.FromRank(id, 1, GetOf("k", 3));
  core.FromRank(id, 1, GetOf("k", 7));
  const std::vector<v1::ToRank> answers = core.FromRank(id, 0, PutOf("k", "v"));
  ASSERT_EQ(answers.size(), 2);
  EXPECT_EQ(answers[0].sequence(), 7);
}

TEST_F(CoreRankTest, RendezvousDoesNotCrossGenerations) {
  core.FromRank(id, 0, PutOf("k", "old"));
  core.Exit("node-a", id, 0, KilledBy(9, core.now().wall));
  core.Report("node-a");
  core.Obey("node-a");
  ASSERT_EQ(core.job(id).proto.status().generation(), 2);
  EXPECT_TRUE(core.FromRank(id, 1, GetOf("k", 3)).empty());
}

TEST_F(CoreRankTest, ARepeatedNoteIsOneEvent) {
  v1::FromRank message;
  message.set_sequence(4);
  message.mutable_note()->set_code("BAD_IMAGE");
  message.mutable_note()->set_message("x.jpg");
  const size_t before = core.job(id).proto.status().events_size();
  EXPECT_TRUE(core.FromRank(id, 0, message).at(0).has_ack());
  EXPECT_TRUE(core.FromRank(id, 0, message).at(0).has_ack());
  EXPECT_EQ(core.job(id).proto.status().events_size(), before + 1);
}

TEST_F(CoreRankTest, ProbesAreKeptByStepInOrder) {
  for (const int step : {0, 100, 50, 100}) {
    v1::FromRank message;
    message.set_sequence(step + 1);
    message.mutable_probe()->set_step(step);
    core.FromRank(id, 0, message);
  }
  const auto& probes = core.job(id).proto.status().probes();
  ASSERT_EQ(probes.size(), 3);
  EXPECT_EQ(probes[0].step(), 0);
  EXPECT_EQ(probes[1].step(), 50);
  EXPECT_EQ(probes[2].step(), 100);
  core.Exit("node-a", id, 0, KilledBy(9, core.now().wall));
  core.Report("node-a");
  core.Obey("node-a");
  EXPECT_TRUE(core.desired("node-a").gangs(0).launch().initial_probe_done());
  EXPECT_EQ(core.desired("node-a").gangs(0).launch().last_probe_step(), 100);
}

TEST_F(CoreRankTest, AResumeThatIsHeardLateDropsNothingThatTheAttemptHasCommittedSince) {
  ASSERT_TRUE(core.Commit(id, 10, "/c/10").committed());
  core.Exit("node-a", id, 0, KilledBy(9, core.now().wall));
  core.Report("node-a");
  core.Obey("node-a");
  core.RunTo(id, 20);
  ASSERT_TRUE(core.Commit(id, 20, "/c/20").committed());
  v1::FromRank note;
  note.set_sequence(9);  // One that overtook the resume.
  note.mutable_note()->set_code("BAD_IMAGE");
  core.FromRank(id, 0, note);
  note.set_sequence(5);
  note.mutable_note()->set_code("RESUMED");
  note.mutable_note()->set_step(10);
  core.FromRank(id, 0, note);
  EXPECT_FALSE(core.HasEvent(id, "ROLLED_BACK"));
  EXPECT_EQ(core.job(id).proto.status().latest_checkpoint().step(), 20);
  EXPECT_EQ(core.job(id).proto.status().attempts().rbegin()->first_step(), 10);
}

TEST_F(CoreRankTest, ResumingFromAnOlderCheckpointIsARecordedRollback) {
  ASSERT_TRUE(core.Commit(id, 10, "/c/10").committed());
  ASSERT_TRUE(core.Commit(id, 20, "/c/20").committed());
  core.Exit("node-a", id, 0, KilledBy(9, core.now().wall));
  core.Report("node-a");
  core.Obey("node-a");
  v1::FromRank resumed;
  resumed.set_sequence(1);
  resumed.mutable_note()->set_code("RESUMED");
  resumed.mutable_note()->set_step(10);
  core.FromRank(id, 0, resumed);
  EXPECT_TRUE(core.HasEvent(id, "ROLLED_BACK"));
  EXPECT_EQ(core.job(id).proto.status().attempts().rbegin()->first_step(), 10);
  core.RunTo(id, 15);
  const v1::CommitResult result = core.Commit(id, 15, "/c/15");
  EXPECT_TRUE(result.committed());
  ASSERT_EQ(result.deletable_size(), 1);
  EXPECT_EQ(result.deletable(0), "/c/20");
}

TEST_F(CoreRankTest, FiguresAreNotWrittenWithEveryStep) {
  const int commits = core.store().commits();
  const size_t keys = core.store().Range("")->size();
  v1::FromRank message;
  for (int step = 2; step < 100; ++step) {
    message.mutable_step()->set_step(step);
    core.FromRank(id, 0, message);
  }
  EXPECT_EQ(core.job(id).proto.status().progress().step(), 99);
  EXPECT_EQ(core.store().Range("")->size(), keys);
  core.Restart();
  EXPECT_LT(core.job(id).proto.status().progress().step(), 99) << commits;
}

TEST_F(CoreRankTest, FiguresAreStoredWithACheckpoint) {
  core.RunTo(id, 30);
  ASSERT_TRUE(core.Commit(id, 30, "/c/30").committed());
  core.Restart();
  EXPECT_EQ(core.job(id).proto.status().progress().step(), 30);
  EXPECT_EQ(core.job(id).proto.status().curve_size(), 2);
}

TEST_F(CoreRankTest, NotesOfHealthAreEventsOfTheirOwn) {
  int64_t sequence = 4;
  for (const char* code :
       {"COLLAPSE_SUSPECTED", "COLLAPSE_CLEARED", "NON_FINITE_SKIPPED", "NON_FINITE_ROLLED_BACK"}) {
    v1::FromRank message;
    message.set_sequence(++sequence);
    message.mutable_note()->set_code(code);
    core.FromRank(id, 0, message);
    EXPECT_TRUE(core.HasEvent(id, code)) << code;
  }
}

TEST_F(CoreRankTest, ManySkippedStepsLeaveRareEvents) {
  for (int64_t i = 1; i <= kMaxEvents + 50; ++i) {
    v1::FromRank message;
    message.set_sequence(i);
    message.mutable_note()->set_code("NON_FINITE_SKIPPED");
    core.FromRank(id, 0, message);
  }
  EXPECT_TRUE(core.HasEvent(id, "SUBMITTED"));
}

v1::FromRank Measured(int64_t step, int64_t measured) {
  v1::FromRank message;
  message.mutable_step()->set_step(step);
  if (measured == 0) return message;
  v1::Telemetry& telemetry = *message.mutable_step()->mutable_telemetry();
  telemetry.set_step(measured);
  telemetry.set_effective_rank(static_cast<double>(measured));
  telemetry.add_encoder_block_gradient_norms(1);
  return message;
}

TEST_F(CoreRankTest, TelemetryIsKeptOncePerMeasurementAndSurvivesARestart) {
  for (const int64_t step : {2, 3, 4, 5, 6}) core.FromRank(id, 0, Measured(step, step / 2 * 2));
  const v1::JobStatus& status = core.job(id).proto.status();
  ASSERT_EQ(status.telemetry_size(), 3);
  EXPECT_EQ(status.telemetry(2).step(), 6);
  EXPECT_EQ(status.telemetry(2).encoder_block_gradient_norms_size(), 0);
  EXPECT_EQ(status.progress().telemetry().encoder_block_gradient_norms_size(), 1);
  for (const v1::StepReport& point : status.curve()) EXPECT_FALSE(point.has_telemetry());
  ASSERT_TRUE(core.Commit(id, 6, "/c/6").committed());
  core.Restart();
  ASSERT_EQ(core.job(id).proto.status().telemetry_size(), 3);
  EXPECT_EQ(core.job(id).proto.status().telemetry(1).effective_rank(), 4);
}

TEST_F(CoreRankTest, ARestartedAttemptReplacesTheTelemetryItRepeats) {
  for (const int64_t step : {10, 20, 30}) core.FromRank(id, 0, Measured(step, step));
  core.FromRank(id, 0, Measured(15, 0));
  EXPECT_EQ(core.job(id).proto.status().telemetry_size(), 1);
  core.FromRank(id, 0, Measured(20, 20));
  ASSERT_EQ(core.job(id).proto.status().telemetry_size(), 2);
  EXPECT_EQ(core.job(id).proto.status().telemetry(1).step(), 20);
}

TEST(ProgressTest, TelemetryStaysSmallAndInOrder) {
  v1::JobStatus status;
  int64_t stride = 1;
  for (int64_t step = 1; step <= 5000; ++step) {
    v1::StepReport report;
    report.set_step(step);
    if (step >= 10) report.mutable_telemetry()->set_step(step / 10 * 10);
    RecordStep(report, status, stride);
    ASSERT_LE(status.telemetry_size(), kMaxTelemetryPoints);
  }
  ASSERT_GT(status.telemetry_size(), kMaxTelemetryPoints / 3);
  EXPECT_EQ(status.telemetry(0).step(), 10);
  const int64_t gap = status.telemetry(1).step() - status.telemetry(0).step();
  for (int i = 1; i < status.telemetry_size(); ++i) {
    EXPECT_EQ(status.telemetry(i).step() - status.telemetry(i - 1).step(), gap);
  }
}

TEST(ProgressTest, TheCurveStaysSmallEvenAndInOrder) {
  v1::JobStatus status;
  int64_t stride = 1;
  for (int step = 1; step <= 100000; ++step) {
    v1::StepReport report;
    report.set_step(step);
    RecordStep(report, status, stride);
    ASSERT_LE(status.curve_size(), kMaxCurvePoints);
  }
  EXPECT_GT(status.curve_size(), kMaxCurvePoints / 4);
  EXPECT_EQ(status.curve(0).step(), 1);
  for (int i = 1; i < status.curve_size(); ++i) {
    EXPECT_EQ(status.curve(i).step() - status.curve(i - 1).step(), stride);
  }
  EXPECT_EQ(StrideOf(status), stride);
}

TEST(ProgressTest, ARestartDoesNotShowAStepTwice) {
  v1::JobStatus status;
  int64_t stride = 1;
  for (const int step : {1, 2, 3, 4, 5, 3, 4}) {
    v1::StepReport report;
    report.set_step(step);
    RecordStep(report, status, stride);
  }
  ASSERT_EQ(status.curve_size(), 4);
  EXPECT_EQ(status.curve(3).step(), 4);
}

}  // namespace
}  // namespace ijepa::coordinator
