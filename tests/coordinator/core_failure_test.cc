// What the core does when ranks, nodes and coordinators fail, and when messages come from the past.
#include <gtest/gtest.h>

#include "absl/strings/match.h"
#include "core_harness.h"
#include "two_rank_job.h"

namespace ijepa::coordinator {
namespace {

using ::absl::StrContains;

bool Superseded(const std::vector<v1::ToRank>& answers) {
  for (const v1::ToRank& answer : answers) {
    if (answer.has_superseded()) return true;
  }
  return false;
}

v1::FromRank CheckpointMessage(int64_t step) {
  v1::FromRank message;
  message.set_sequence(1);
  message.mutable_checkpoint()->mutable_checkpoint()->set_step(step);
  message.mutable_checkpoint()->mutable_checkpoint()->set_path("/c/late");
  return message;
}

// With a checkpoint at step 10.
class CoreFailureTest : public TwoRankJob {
 protected:
  void SetUp() override {
    TwoRankJob::SetUp();
    ASSERT_TRUE(core.Commit(id, 10, "/c/10").committed());
  }

  // Keeps the nodes talking while time passes.
  void AdvanceTalking(absl::Duration duration) {
    for (absl::Duration done; done < duration; done += absl::Seconds(5)) Talk(absl::Seconds(5));
  }

  // Of the newest event with that code; empty if there is none.
  std::string EventMessage(const std::string& code) {
    std::string message;
    for (const v1::Event& event : core.job(id).proto.status().events()) {
      if (event.code() == code) message = event.message();
    }
    return message;
  }
};

TEST_F(CoreFailureTest, ADeadRankRestartsTheGangFromTheLastCheckpoint) {
  core.Exit("node-b", id, 1, KilledBy(9, core.now().wall));
  core.Report("node-b");
  EXPECT_EQ(core.state_of(id), v1::JOB_STATE_RECOVERING);
  EXPECT_EQ(core.desired("node-a").gangs_size(), 0) << "its peer is killed";
  core.Obey("node-b");
  EXPECT_EQ(core.state_of(id), v1::JOB_STATE_RECOVERING) << "rank 0 still runs";
  core.Obey("node-a");
  EXPECT_EQ(core.state_of(id), v1::JOB_STATE_STARTING);
  const v1::JobStatus& status = core.job(id).proto.status();
  EXPECT_EQ(status.generation(), 2);
  EXPECT_EQ(status.attempts(0).failure().signal(), 9);
  EXPECT_EQ(status.attempts(0).failure().rank(), 1);
  EXPECT_EQ(status.attempts(0).outcome(), "FAILED");
  EXPECT_EQ(status.attempts(1).first_step(), 10);
  ASSERT_EQ(core.desired("node-a").gangs(0).launch().resume_size(), 1);
  EXPECT_EQ(core.desired("node-a").gangs(0).launch().resume(0).path(), "/c/10");
}

TEST(CoreOnFailureTest, ACauseThatTheJobDoesNotWantRetriedEndsIt) {
  CoreHarness core;
  core.Connect("node-a", 2);
  CreateJob command;
  command.spec = SpecFor("job", 2);
  command.spec.mutable_on_failure()->set_crash(v1::FAILURE_ACTION_FAIL);
  ASSERT_TRUE(core.Create(command).ok());
  core.RunTo("job", 1);
  core.Exit("node-a", "job", 1, KilledBy(9, core.now().wall));
  core.Report("node-a");
  core.Obey("node-a");
  EXPECT_EQ(core.state_of("job"), v1::JOB_STATE_FAILED);
  EXPECT_EQ(core.job("job").proto.status().reason().code(), "CRASH");
}

TEST_F(CoreFailureTest, AnAbsentRankIsGoneOnlyWhenItsWorkerKnowsThatItIsNotWanted) {
  core.Exit("node-a", id, 0, KilledBy(9, core.now().wall));
  // Node b had not started its rank when it wrote this report, and may yet.
  core.ForgetRanks("node-b");
  core.Report("node-a");
  core.Report("node-b");
  EXPECT_EQ(core.state_of(id), v1::JOB_STATE_RECOVERING);
  core.Obey("node-b");
  EXPECT_EQ(core.state_of(id), v1::JOB_STATE_STARTING);
}

TEST_F(CoreFailureTest, TheNextAttemptIsToldHowOftenTheJobFails) {
  const auto told = [&] {
    return core.desired("node-a").gangs(0).launch().hours_between_failures();
  };
  EXPECT_DOUBLE_EQ(told(), 4000) << "8000 hours of a rank, and two ranks";
  AdvanceTalking(absl::Minutes(15));
  core.Exit("node-b", id, 1, KilledBy(9, core.now().wall));
  core.Report("node-b");
  core.Obey("node-b");
  core.Obey("node-a");
  ASSERT_EQ(core.state_of(id), v1::JOB_STATE_STARTING);
  EXPECT_NEAR(told(), (8000 + 0.5) / 2 / 2, 0.01) << "and half an hour, in which one failed";
}

TEST_F(CoreFailureTest, AUserErrorIsNotRetried) {
  core.Exit("node-a", id, 0, FailedWith("INVALID_ARGUMENT", "data.path is empty", core.now().wall));
  core.Report("node-a");
  core.Obey("node-b");
  EXPECT_EQ(core.state_of(id), v1::JOB_STATE_FAILED);
  const v1::Reason& reason = core.job(id).proto.status().reason();
  EXPECT_EQ(reason.code(), "USER_ERROR");
  EXPECT_TRUE(StrContains(reason.message(), "data.path is empty")) << reason.message();
}

TEST_F(CoreFailureTest, AStaleGenerationCannotCommit) {
  core.Exit("node-b", id, 1, KilledBy(9, core.now().wall));
  core.Report("node-b");
  core.Obey("node-b");
  core.Obey("node-a");
  ASSERT_EQ(core.job(id).proto.status().generation(), 2);
  const std::vector<v1::ToRank> answers = core.FromRankOf(id, 1, 0, CheckpointMessage(20));
  ASSERT_EQ(answers.size(), 2);
  EXPECT_FALSE(answers[0].commit().committed());
  EXPECT_EQ(answers[0].sequence(), 1);
  EXPECT_TRUE(Superseded(answers));
  EXPECT_EQ(core.job(id).proto.status().latest_checkpoint().step(), 10);
}

TEST_F(CoreFailureTest, ANodeCannotSpeakForARankOfAnother) {
  FromRankOn command;
  command.stream = core.state().nodes.at("node-b").stream;
  command.message.set_job_uid(core.job(id).proto.uid());
  command.message.set_generation(1);
  command.message.set_rank(0);
  *command.message.mutable_message() = CheckpointMessage(20);
  core.Do(command);
  EXPECT_EQ(core.job(id).proto.status().latest_checkpoint().step(), 10);
}

TEST_F(CoreFailureTest, ARankOfANodeThatWasLostCannotCommitWhenItComesBack) {
  for (int i = 0; i < 14; ++i) {
    core.Report("node-a");
    core.Advance(absl::Seconds(5));
  }
  EXPECT_EQ(core.state().nodes.at("node-b").state, v1::NODE_STATE_LOST);
  core.Connect("node-b", 1);
  EXPECT_TRUE(Superseded(core.FromRankOf(id, 1, 1, CheckpointMessage(20))));
  EXPECT_EQ(core.job(id).proto.status().latest_checkpoint().step(), 10);
  EXPECT_EQ(core.desired("node-b").gangs_size(), 0) << "it is told to kill them";
}

TEST_F(CoreFailureTest, ANodeIsUnreachableAfter20SecondsAndLostAfter60) {
  for (int i = 0; i < 4; ++i) {
    core.Report("node-a");
    core.Advance(absl::Seconds(5));
  }
  EXPECT_EQ(core.state().nodes.at("node-b").state, v1::NODE_STATE_UNREACHABLE);
  EXPECT_EQ(core.state_of(id), v1::JOB_STATE_RUNNING) << "nothing is freed";
  EXPECT_TRUE(core.HasEvent(id, "NODE_UNREACHABLE"));
  for (int i = 0; i < 8; ++i) {
    core.Report("node-a");
    core.Advance(absl::Seconds(5));
  }
  EXPECT_EQ(core.state().nodes.at("node-b").state, v1::NODE_STATE_LOST);
  EXPECT_EQ(core.state_of(id), v1::JOB_STATE_RECOVERING);
  EXPECT_TRUE(core.HasEvent(id, "NODE_LOST"));
  core.Obey("node-a");
  EXPECT_EQ(core.state_of(id), v1::JOB_STATE_QUEUED);
  EXPECT_EQ(core.job(id).proto.status().attempts(0).failure().failure_class(), "NODE_LOST");
  core.Connect("node-c", 1);
  EXPECT_EQ(core.state_of(id), v1::JOB_STATE_STARTING);
}

TEST_F(CoreFailureTest, AnUnreachableNodeThatIsHeardAgainGoesOn) {
  for (int i = 0; i < 6; ++i) {
    core.Report("node-a");
    core.Advance(absl::Seconds(5));
  }
  core.Report("node-b");
  EXPECT_EQ(core.state().nodes.at("node-b").state, v1::NODE_STATE_READY);
  AdvanceTalking(absl::Seconds(60));
  EXPECT_EQ(core.state_of(id), v1::JOB_STATE_RUNNING);
  EXPECT_EQ(core.job(id).proto.status().generation(), 1);
}

TEST_F(CoreFailureTest, ACoordinatorThatStoodStillBlamesNoNode) {
  core.Advance(absl::Seconds(1));
  core.Jump(absl::Minutes(10));
  EXPECT_EQ(core.state().nodes.at("node-a").state, v1::NODE_STATE_READY);
  EXPECT_EQ(core.state_of(id), v1::JOB_STATE_RUNNING);
}

TEST_F(CoreFailureTest, ANodeHeardAfterAStandstillGetsNoCreditForIt) {
  core.Advance(absl::Seconds(1));
  core.Skip(absl::Minutes(5));
  core.Report("node-a");
  core.Advance(core.options().lost_after + absl::Seconds(1));
  EXPECT_EQ(core.state().nodes.at("node-a").state, v1::NODE_STATE_LOST);
}

TEST_F(CoreFailureTest, ARestartedWorkerKeepsItsRanks) {
  core.Disconnect("node-a");
  core.Advance(absl::Seconds(5));
  core.Connect("node-a", 1, "boot-2");
  EXPECT_EQ(core.state_of(id), v1::JOB_STATE_RUNNING);
  EXPECT_TRUE(core.HasEvent(id, "WORKER_RECONNECTED"));
  core.Obey("node-a");
  EXPECT_EQ(core.job(id).proto.status().generation(), 1);
}

TEST_F(CoreFailureTest, ARestartedWorkerWithoutItsRanksFailsTheAttempt) {
  core.ForgetRanks("node-a");
  core.Connect("node-a", 1, "boot-2");
  EXPECT_EQ(core.state_of(id), v1::JOB_STATE_RECOVERING);
  EXPECT_EQ(core.desired("node-a").gangs_size(), 0) << "generation 1 is not started twice";
}

TEST_F(CoreFailureTest, AMessageOnAnOldStreamIsIgnored) {
  WorkerReport old;
  old.stream = 1;
  core.Connect("node-a", 1);
  old.report.set_observed_revision(int64_t{1} << 60);
  core.Do(old);
  EXPECT_EQ(core.state_of(id), v1::JOB_STATE_RUNNING);
}

TEST_F(CoreFailureTest, AWorkerThatSawANewerCoordinatorIsRefused) {
  WorkerHello hello;
  hello.stream = 99;
  hello.hello.mutable_info()->set_node("node-z");
  hello.hello.set_coordinator_epoch(core.state().epoch + 1);
  core.Do(hello);
  EXPECT_EQ(core.state().nodes.count("node-z"), 0);
  const auto* closed = std::get_if<CloseStream>(&core.effects().back());
  ASSERT_NE(closed, nullptr);
  EXPECT_EQ(closed->why.code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(CoreFailureTest, AHangEndsTheAttempt) {
  AdvanceTalking(absl::Minutes(29));
  EXPECT_EQ(core.state_of(id), v1::JOB_STATE_RUNNING);
  AdvanceTalking(absl::Minutes(2));
  EXPECT_EQ(core.state_of(id), v1::JOB_STATE_RECOVERING);
  EXPECT_TRUE(core.HasEvent(id, "HANG"));
}

TEST_F(CoreFailureTest, AHangInTrainingIsNoticedByItsMissingStepsAndNamesTheRankBehind) {
  const auto step = [&](int rank, int64_t number) {
    v1::FromRank message;
    message.mutable_step()->set_step(number);
    core.FromRank(id, rank, message);
  };
  for (int64_t number = 11; number <= 20; ++number) {
    step(0, number);
    if (number < 20) step(1, number);
    AdvanceTalking(absl::Seconds(5));
  }
  AdvanceTalking(absl::Seconds(30));
  EXPECT_EQ(core.state_of(id), v1::JOB_STATE_RUNNING);
  AdvanceTalking(absl::Seconds(10));
  EXPECT_EQ(core.state_of(id), v1::JOB_STATE_RECOVERING);
  const std::string hang = EventMessage("HANG");
  EXPECT_TRUE(StrContains(hang, "rank 1 on node-b (in training, 45 s since step 19)")) << hang;
}

TEST_F(CoreFailureTest, AStepThatTheNodeCouldNotReportIsNoHang) {
  v1::FromRank message;
  for (int64_t number = 11; number <= 20; ++number) {
    message.mutable_step()->set_step(number);
    core.FromRank(id, 0, message);
    core.FromRank(id, 1, message);
    AdvanceTalking(absl::Seconds(5));
  }
  core.Disconnect("node-b");
  for (int i = 0; i < 11; ++i) {
    core.Report("node-a");
    core.Advance(absl::Seconds(5));
  }
  EXPECT_FALSE(core.HasEvent(id, "HANG"));
}

TEST_F(CoreFailureTest, GivesUpOnRanksThatAreNotClearedButKeepsTheirSlots) {
  core.Exit("node-b", id, 1, KilledBy(9, core.now().wall));
  core.Report("node-b");
  AdvanceTalking(absl::Minutes(5) + absl::Seconds(5));
  EXPECT_EQ(core.state_of(id), v1::JOB_STATE_QUEUED);
  EXPECT_TRUE(core.HasEvent(id, "RANK_GIVEN_UP"));
  EXPECT_EQ(SlotsUsed(core.state(), core.state().nodes.at("node-a")), 1);
  core.Report("node-a");
  EXPECT_EQ(SlotsUsed(core.state(), core.state().nodes.at("node-a")), 1);
  core.Obey("node-a");
  core.Obey("node-b");
  EXPECT_EQ(core.state_of(id), v1::JOB_STATE_STARTING);
}

TEST_F(CoreFailureTest, AWorkersDrainRequeuesWithoutSpendingTheRestartBudget) {
  core.Exit("node-a", id, 0, ExitOf(v1::RANK_OUTCOME_DRAINED));
  core.Report("node-a");
  EXPECT_EQ(core.state_of(id), v1::JOB_STATE_RUNNING);
  core.Exit("node-b", id, 1, ExitOf(v1::RANK_OUTCOME_DRAINED));
  core.Report("node-b");
  EXPECT_EQ(core.job(id).proto.status().attempts(0).outcome(), "DRAINED");
  EXPECT_EQ(core.state_of(id), v1::JOB_STATE_STARTING);
}

TEST(CoreStartTest, AnAttemptThatDoesNotStartInTimeFailsAndIsRetried) {
  CoreHarness core;
  core.Connect("node-a", 1);
  const std::string id = core.Submit("job", 1);
  for (int i = 0; i < 24; ++i) {
    core.Report("node-a");
    core.Advance(absl::Seconds(5));
  }
  EXPECT_TRUE(core.HasEvent(id, "START_DEADLINE"));
  EXPECT_EQ(core.state_of(id), v1::JOB_STATE_RECOVERING);
  core.Obey("node-a");
  EXPECT_EQ(core.state_of(id), v1::JOB_STATE_STARTING);
  EXPECT_EQ(core.job(id).proto.status().attempts(0).failure().failure_class(), "START_FAILED");
}

TEST(CoreStartTest, SpendsTheBudgetWithoutProgressWithBackOff) {
  CoreHarness core;
  core.Connect("node-a", 1);
  const std::string id = core.Submit("job", 1);
  for (int attempt = 1; attempt <= 3; ++attempt) {
    ASSERT_EQ(core.state_of(id), v1::JOB_STATE_STARTING) << attempt;
    core.Obey("node-a");
    core.Exit("node-a", id, 0, KilledBy(9, core.now().wall));
    core.Report("node-a");
    core.Obey("node-a");
    if (attempt == 2) {
      EXPECT_EQ(core.state_of(id), v1::JOB_STATE_QUEUED);
      EXPECT_EQ(core.job(id).proto.status().reason().code(), "RETRYING");
      for (int i = 0; i < 3; ++i) {
        core.Advance(absl::Seconds(4));
        core.Report("node-a");
      }
    }
  }
  EXPECT_EQ(core.state_of(id), v1::JOB_STATE_FAILED);
  EXPECT_EQ(core.job(id).proto.status().reason().code(), "NO_PROGRESS");
}

TEST(CoreStartTest, FailsPastMaxRestartsAndSaysSo) {
  CoreHarness core;
  core.Connect("node-a", 1);
  CreateJob command;
  command.spec = SpecFor("job", 1);
  command.spec.set_max_restarts(1);
  ASSERT_TRUE(core.Create(command).ok());
  for (int attempt = 1; attempt <= 2; ++attempt) {
    core.RunTo("job", 1);
    core.Exit("node-a", "job", 0, KilledBy(9, core.now().wall));
    core.Report("node-a");
  }
  EXPECT_EQ(core.state_of("job"), v1::JOB_STATE_FAILED);
  EXPECT_TRUE(StrContains(core.job("job").proto.status().reason().message(), "max_restarts is 1"));
}

}  // namespace
}  // namespace ijepa::coordinator
