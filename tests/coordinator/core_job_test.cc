// The life of a job, command by command.
#include <gtest/gtest.h>

#include "absl/strings/match.h"
#include "coordinator/core/events.h"
#include "coordinator/core/lifecycle.h"
#include "core_harness.h"

namespace ijepa::coordinator {
namespace {

using ::absl::StrContains;

TEST(CoreJobTest, RunsFromQueuedToSucceeded) {
  CoreHarness core;
  core.Connect("node-a", 2);
  const std::string id = core.Submit("job", 2);
  EXPECT_EQ(core.state_of(id), v1::JOB_STATE_STARTING);
  ASSERT_EQ(core.desired("node-a").gangs_size(), 1);
  EXPECT_EQ(core.desired("node-a").gangs(0).ranks_size(), 2);
  EXPECT_EQ(core.desired("node-a").gangs(0).launch().checkpoint_folder(), "/checkpoints/job");
  EXPECT_EQ(core.desired("node-a").gangs(0).launch().world_size(), 2);
  core.RunTo(id, 1);
  EXPECT_EQ(core.state_of(id), v1::JOB_STATE_RUNNING);
  core.Complete("node-a", id);
  EXPECT_EQ(core.state_of(id), v1::JOB_STATE_SUCCEEDED);
  EXPECT_EQ(core.job(id).proto.status().attempts(0).outcome(), "COMPLETED");
  EXPECT_EQ(core.desired("node-a").gangs_size(), 0);
}

TEST(CoreJobTest, IsNotRunningBeforeEveryRankHasStepped) {
  CoreHarness core;
  core.Connect("node-a", 2);
  const std::string id = core.Submit("job", 2);
  core.Obey("node-a", v1::RANK_PHASE_STARTING);
  v1::FromRank message;
  message.mutable_step()->set_step(1);
  core.FromRank(id, 0, message);
  EXPECT_EQ(core.state_of(id), v1::JOB_STATE_STARTING);
  core.FromRank(id, 1, message);
  EXPECT_EQ(core.state_of(id), v1::JOB_STATE_RUNNING);
}

TEST(CoreJobTest, DoesNotSucceedWhileARankIsStillRunning) {
  CoreHarness core;
  core.Connect("node-a", 1);
  core.Connect("node-b", 1);
  const std::string id = core.Submit("job", 2);
  core.RunTo(id, 5);
  core.Complete("node-a", id);
  EXPECT_EQ(core.state_of(id), v1::JOB_STATE_RUNNING);
  core.Complete("node-b", id);
  EXPECT_EQ(core.state_of(id), v1::JOB_STATE_SUCCEEDED);
}

TEST(CoreJobTest, AnswersARepeatedRequestWithTheSameJobAndRefusesAnotherBody) {
  CoreHarness core;
  CreateJob command;
  command.spec = SpecFor("job", 1);
  command.request_id = "request-1";
  command.digest = 7;
  command.queue_anyway = true;
  command.id = "job-a";
  ASSERT_TRUE(core.Create(command).ok());
  command.id = "job-b";
  for (int restarts = 0; restarts < 2; ++restarts) {
    const absl::StatusOr<v1::Job> again = core.Create(command);
    ASSERT_TRUE(again.ok());
    EXPECT_EQ(again->name(), "projects/default/jobs/job-a");
    core.Restart();
  }
  EXPECT_EQ(core.state().jobs.size(), 1);
  command.digest = 8;
  EXPECT_EQ(core.Create(command).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(CoreJobTest, ForgetsRequestIdsAfterTheirLifetime) {
  CoreHarness core;
  CreateJob command;
  command.spec = SpecFor("job", 1);
  command.request_id = "request-1";
  command.queue_anyway = true;
  ASSERT_TRUE(core.Create(command).ok());
  core.options().request_id_lifetime = absl::Seconds(1);
  core.Restart();
  core.Advance(absl::Seconds(2));
  EXPECT_TRUE(core.state().requests.empty());
  EXPECT_TRUE(core.store().Range("request/")->empty());
}

TEST(CoreJobTest, RefusesAJobThatNoNodesCouldHoldWithTheNumbers) {
  CoreHarness core;
  core.Connect("node-a", 2);
  CreateJob command;
  command.spec = SpecFor("job", 3);
  const absl::Status status = core.Create(command).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(StrContains(status.message(), "3 slots")) << status;
  EXPECT_TRUE(StrContains(status.message(), "has 2")) << status;
  EXPECT_TRUE(StrContains(status.message(), "--queue-anyway")) << status;
  command.queue_anyway = true;
  const absl::StatusOr<v1::Job> job = core.Create(command);
  ASSERT_TRUE(job.ok());
  EXPECT_EQ(core.job("job").proto.status().reason().code(), "TOO_LARGE");
  core.Connect("node-b", 1);
  EXPECT_EQ(core.state_of("job"), v1::JOB_STATE_STARTING);
}

TEST(CoreJobTest, RefusesJobsWhileNoNodeIsRegistered) {
  CoreHarness core;
  CreateJob command;
  command.spec = SpecFor("job", 1);
  const absl::Status status = core.Create(command).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(StrContains(status.message(), "ijepa-worker")) << status;
}

TEST(CoreJobTest, RefusesInjectedFaultsUnlessToldToTakeThem) {
  CoreHarness core;
  core.Connect("node-a", 1);
  CreateJob command;
  command.spec = SpecFor("job", 1);
  command.spec.mutable_faults()->add_inject()->set_kind(v1::FAULT_KIND_KILL);
  const absl::Status status = core.Create(command).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(StrContains(status.message(), "faults.inject has 1 entry")) << status;
  EXPECT_TRUE(StrContains(status.message(), "--allow-fault-injection")) << status;
  core.options().allow_fault_injection = true;
  core.Restart();
  core.Connect("node-a", 1);
  EXPECT_TRUE(core.Create(command).ok());
}

TEST(CoreJobTest, ValidateOnlyStoresNothing) {
  CoreHarness core;
  core.Connect("node-a", 1);
  const int commits = core.store().commits();
  CreateJob command;
  command.spec = SpecFor("job", 1);
  command.validate_only = true;
  const absl::StatusOr<v1::Job> job = core.Create(command);
  ASSERT_TRUE(job.ok());
  EXPECT_EQ(job->status().state(), v1::JOB_STATE_QUEUED);
  EXPECT_TRUE(core.state().jobs.empty());
  EXPECT_TRUE(core.store().Range("job/")->empty());
  EXPECT_LE(core.store().commits() - commits, 2);
}

TEST(CoreJobTest, RefusesExplicitBf16WhereNoNodeHasItAndElseWaitsForOne) {
  CoreHarness core;
  core.SetCpuFeatures("old", {"avx2", "avx512f"});
  core.Connect("old", 4);
  CreateJob command;
  command.spec = SpecFor("half", 1);
  command.spec.set_device("cpu");
  command.spec.mutable_meta()->set_use_bfloat16(true);
  command.validate_only = true;
  EXPECT_TRUE(core.Create(command).ok()) << "a wish is no demand";
  command.spec.mutable_meta()->set_precision(v1::PRECISION_BF16);
  command.validate_only = false;
  const auto refused = core.Create(command);
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(StrContains(refused.status().message(), "set meta.precision to fp32"));

  command.queue_anyway = true;
  ASSERT_TRUE(core.Create(command).ok());
  EXPECT_EQ(core.job("half").proto.status().reason().code(), "NO_BF16");
  core.SetCpuFeatures("new", {"avx2", "avx512f", "avx512_bf16", "amx_bf16"});
  core.Connect("new", 1);
  EXPECT_EQ(core.state_of("half"), v1::JOB_STATE_STARTING);
  EXPECT_EQ(core.desired("new").gangs_size(), 1);
  EXPECT_EQ(core.desired("old").gangs_size(), 0);
}

TEST(CoreJobTest, CancelsAQueuedJobAtOnce) {
  CoreHarness core;
  const std::string id = core.Submit("job", 1);
  const absl::StatusOr<v1::Job> job = core.Cancel("projects/default/jobs/job");
  ASSERT_TRUE(job.ok());
  EXPECT_EQ(job->status().state(), v1::JOB_STATE_CANCELLED);
  core.Connect("node-a", 1);
  EXPECT_EQ(core.state_of(id), v1::JOB_STATE_CANCELLED);
  EXPECT_EQ(core.Cancel("nobody").status().code(), absl::StatusCode::kNotFound);
}

TEST(CoreJobTest, CancelOfARunningJobDrainsItFirst) {
  CoreHarness core;
  core.Connect("node-a", 1);
  const std::string id = core.Submit("job", 1);
  core.RunTo(id, 3);
  ASSERT_TRUE(core.Cancel(id).ok());
  EXPECT_EQ(core.state_of(id), v1::JOB_STATE_CANCELLING);
  ASSERT_EQ(core.desired("node-a").gangs_size(), 1);
  EXPECT_EQ(core.desired("node-a").gangs(0).drain().reason(), "CANCEL");
  EXPECT_EQ(FromProto(core.desired("node-a").gangs(0).drain().deadline()),
            core.now().wall + absl::Seconds(120));
  EXPECT_TRUE(core.Commit(id, 4, "/c/4").committed()) << "a draining rank saves";
  core.Exit("node-a", id, 0, ExitOf(v1::RANK_OUTCOME_DRAINED));
  core.Report("node-a");
  EXPECT_EQ(core.state_of(id), v1::JOB_STATE_CANCELLED);
  EXPECT_EQ(core.job(id).proto.status().attempts(0).outcome(), "DRAINED");
  EXPECT_TRUE(core.Cancel(id).ok()) << "cancel is idempotent";
}

TEST(CoreJobTest, KillsRanksThatDoNotDrainInTime) {
  CoreHarness core;
  core.Connect("node-a", 1);
  const std::string id = core.Submit("job", 1);
  core.RunTo(id, 3);
  ASSERT_TRUE(core.Cancel(id).ok());
  for (int i = 0; i < 25; ++i) {
    core.Report("node-a");
    core.Advance(absl::Seconds(5));
  }
  EXPECT_EQ(core.desired("node-a").gangs_size(), 0);
  EXPECT_EQ(core.state_of(id), v1::JOB_STATE_CANCELLING) << "its rank is still there";
  core.Obey("node-a");
  EXPECT_EQ(core.state_of(id), v1::JOB_STATE_CANCELLED);
}

TEST(CoreJobTest, CancelOfAStartingJobKillsAtOnce) {
  CoreHarness core;
  core.Connect("node-a", 1);
  const std::string id = core.Submit("job", 1);
  ASSERT_TRUE(core.Cancel(id).ok());
  EXPECT_EQ(core.desired("node-a").gangs_size(), 0);
  core.Obey("node-a");
  EXPECT_EQ(core.state_of(id), v1::JOB_STATE_CANCELLED);
}

TEST(CoreJobTest, FreesSlotsOnlyWhenTheRanksAreGone) {
  CoreHarness core;
  core.Connect("node-a", 2);
  const std::string first = core.Submit("first", 2);
  const std::string second = core.Submit("second", 1);
  core.RunTo(first, 1);
  EXPECT_EQ(core.job(second).proto.status().reason().code(), "WAITING_FOR_SLOTS");
  core.Exit("node-a", first, 0, KilledBy(9, core.now().wall));
  core.Report("node-a");
  EXPECT_EQ(core.state_of(first), v1::JOB_STATE_RECOVERING);
  EXPECT_EQ(core.state_of(second), v1::JOB_STATE_QUEUED) << "rank 1 still runs";
  core.Obey("node-a");
  EXPECT_EQ(core.state_of(first), v1::JOB_STATE_STARTING) << "it keeps its place in the queue";
  EXPECT_EQ(core.state_of(second), v1::JOB_STATE_QUEUED);
}

TEST(CoreJobTest, ANoteWithACodeOfItsOwnIsKeptAsANote) {
  CoreHarness core;
  core.Connect("node-a", 1);
  const std::string id = core.Submit("job", 1);
  core.RunTo(id, 1);
  v1::FromRank message;
  message.mutable_note()->set_code("SOMETHING_NEW");
  message.mutable_note()->set_message("text");
  core.FromRank(id, 0, message);
  const v1::Event& last = *core.job(id).proto.status().events().rbegin();
  EXPECT_EQ(last.code(), "NOTE");
  EXPECT_TRUE(StrContains(last.message(), "SOMETHING_NEW: text"));
}

TEST(CoreJobTest, StartsWithFewerRanksWhenTheSpecAllowsThem) {
  CoreHarness core;
  core.Connect("node-a", 3);
  CreateJob command;
  command.spec = SpecFor("job", 8);
  command.spec.mutable_ranks()->set_min(1);
  ASSERT_TRUE(core.Create(command).ok());
  EXPECT_EQ(core.job("job").gang->ranks.size(), 2) << "2 divides 8 shards, 3 does not";
}

TEST(CoreJobTest, TerminalStatesAreNeverLeft) {
  for (const JobMove& move : JobMoves()) EXPECT_FALSE(IsTerminal(move.from)) << move.trigger;
  for (int s = 0; s < v1::JobState_ARRAYSIZE; ++s) {
    const auto state = static_cast<v1::JobState>(s);
    if (IsTerminal(state)) continue;
    bool leaves = false;
    for (const JobMove& move : JobMoves()) leaves |= move.from == state;
    EXPECT_TRUE(leaves) << v1::JobState_Name(state);
  }
}

}  // namespace
}  // namespace ijepa::coordinator
