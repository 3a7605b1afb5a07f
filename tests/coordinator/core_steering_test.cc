// What people ask of jobs: hold, release, pause, resume, forks, dependencies, arrays, etags.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "coordinator/core/lifecycle.h"
#include "coordinator/core/sealing.h"
#include "core_harness.h"

namespace ijepa::coordinator {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class SteeringTest : public ::testing::Test {
 protected:
  absl::StatusOr<v1::Job> Steer(const std::string& name, Steering steering,
                                const std::string& etag = "") {
    return harness.Ask(SteerJob{.name = name, .steering = steering, .etag = etag});
  }

  absl::StatusCode CodeOf(const std::string& name, Steering steering) {
    return Steer(name, steering).status().code();
  }

  v1::JobState StateOf(const std::string& id) { return harness.state_of(id); }

  // A job of one rank that has trained to `step` and committed it.
  std::string Run(const std::string& name, int64_t step) {
    harness.Connect("node-a", 1);
    const std::string id = harness.Submit(name, 1);
    harness.RunTo(id, step);
    harness.Commit(id, step, absl::StrCat("/checkpoints/", id, "/", step));
    return id;
  }

  // Its rank saves and stops, as it was asked.
  void Drained(const std::string& id) {
    harness.Exit("node-a", id, 0, ExitOf(v1::RANK_OUTCOME_DRAINED));
    harness.Report("node-a");
  }

  CreateJob After(const std::string& name, const std::string& other,
                  v1::DependencyFailure on_failure = v1::DEPENDENCY_FAILURE_CANCEL) {
    CreateJob command;
    command.spec = SpecFor(name, 100);
    command.queue_anyway = true;
    v1::Dependency& dependency = *command.spec.add_depends_on();
    dependency.set_job(other);
    dependency.set_on_failure(on_failure);
    return command;
  }

  CoreHarness harness;
};

TEST_F(SteeringTest, AHeldJobWaitsUntilItIsReleased) {
  const std::string id = harness.Submit("job", 1);
  ASSERT_TRUE(Steer(id, Steering::kHold).ok());
  ASSERT_TRUE(Steer(id, Steering::kHold).ok()) << "idempotent";
  harness.Connect("node-a", 1);
  EXPECT_EQ(StateOf(id), v1::JOB_STATE_HELD);
  harness.Restart();
  EXPECT_EQ(StateOf(id), v1::JOB_STATE_HELD);
  harness.Connect("node-a", 1);
  ASSERT_TRUE(Steer(id, Steering::kRelease).ok());
  EXPECT_EQ(StateOf(id), v1::JOB_STATE_STARTING);
  EXPECT_EQ(CodeOf(id, Steering::kHold), absl::StatusCode::kFailedPrecondition);
}

TEST_F(SteeringTest, AJobMayBeSubmittedOnHold) {
  harness.Connect("node-a", 1);
  CreateJob command;
  command.spec = SpecFor("job", 1);
  command.hold = true;
  ASSERT_TRUE(harness.Create(command).ok());
  EXPECT_EQ(StateOf("job"), v1::JOB_STATE_HELD);
  EXPECT_EQ(CodeOf("job", Steering::kPause), absl::StatusCode::kFailedPrecondition);
  ASSERT_TRUE(harness.Cancel("job").ok());
  EXPECT_EQ(StateOf("job"), v1::JOB_STATE_CANCELLED);
  EXPECT_EQ(CodeOf("job", Steering::kRelease), absl::StatusCode::kFailedPrecondition);
}

TEST_F(SteeringTest, APausedJobSavesAndGoesOnFromThere) {
  const std::string id = Run("job", 5);
  ASSERT_TRUE(Steer(id, Steering::kPause).ok());
  EXPECT_EQ(StateOf(id), v1::JOB_STATE_PAUSING);
  EXPECT_EQ(harness.desired("node-a").gangs(0).drain().reason(), "PAUSE");
  EXPECT_EQ(CodeOf(id, Steering::kResume), absl::StatusCode::kFailedPrecondition);
  harness.Commit(id, 6, "/checkpoints/job/6");
  Drained(id);
  EXPECT_EQ(StateOf(id), v1::JOB_STATE_PAUSED);
  EXPECT_EQ(harness.job(id).spent_restarts, 0);
  harness.Obey("node-a");
  harness.Advance(absl::Seconds(10));
  EXPECT_EQ(StateOf(id), v1::JOB_STATE_PAUSED);
  ASSERT_TRUE(Steer(id, Steering::kResume).ok());
  EXPECT_EQ(StateOf(id), v1::JOB_STATE_STARTING);
  EXPECT_EQ(harness.job(id).proto.status().attempts(1).first_step(), 6);
  EXPECT_FALSE(harness.desired("node-a").gangs(0).has_drain());
}

TEST_F(SteeringTest, APauseEndsByItsDeadlineThoughNobodySaves) {
  const std::string id = Run("job", 5);
  ASSERT_TRUE(Steer(id, Steering::kPause).ok());
  harness.Restart();
  EXPECT_EQ(StateOf(id), v1::JOB_STATE_PAUSING);
  harness.Advance(harness.options().drain_deadline + harness.options().clear_deadline +
                  absl::Seconds(2));
  EXPECT_EQ(StateOf(id), v1::JOB_STATE_PAUSED);
}

TEST_F(SteeringTest, AQueuedJobIsPausedAtOnceAndAPausedOneCancelled) {
  const std::string id = harness.Submit("job", 100);
  ASSERT_TRUE(Steer(id, Steering::kPause).ok());
  EXPECT_EQ(StateOf(id), v1::JOB_STATE_PAUSED);
  ASSERT_TRUE(Steer(id, Steering::kResume).ok());
  EXPECT_EQ(StateOf(id), v1::JOB_STATE_QUEUED);
  ASSERT_TRUE(Steer(id, Steering::kPause).ok());
  ASSERT_TRUE(harness.Cancel(id).ok());
  EXPECT_EQ(StateOf(id), v1::JOB_STATE_CANCELLED);
}

TEST_F(SteeringTest, CancelOvertakesAPause) {
  const std::string id = Run("job", 5);
  ASSERT_TRUE(Steer(id, Steering::kPause).ok());
  ASSERT_TRUE(harness.Cancel(id).ok());
  EXPECT_EQ(StateOf(id), v1::JOB_STATE_CANCELLING);
  EXPECT_EQ(harness.desired("node-a").gangs(0).drain().reason(), "CANCEL");
  Drained(id);
  EXPECT_EQ(StateOf(id), v1::JOB_STATE_CANCELLED);
}

TEST_F(SteeringTest, AnotherEtagIsRefusedAndChangesNothing) {
  const std::string id = harness.Submit("job", 100);
  const std::string seen = harness.job(id).proto.etag();
  EXPECT_EQ(Steer(id, Steering::kHold, "other").status().code(), absl::StatusCode::kAborted);
  EXPECT_EQ(StateOf(id), v1::JOB_STATE_QUEUED);
  const auto held = Steer(id, Steering::kHold, seen);
  ASSERT_TRUE(held.ok()) << held.status();
  EXPECT_EQ(held->etag(), harness.job(id).proto.etag()) << "the answer carries the new etag";
  EXPECT_NE(held->etag(), seen);
  const std::string before = harness.job(id).proto.etag();
  harness.Restart();
  EXPECT_EQ(harness.job(id).proto.etag(), before) << "a restart is no change";
}

TEST_F(SteeringTest, ARepeatedRequestIsAnsweredEvenWithItsOldEtag) {
  const std::string id = harness.Submit("job", 100);
  SteerJob hold{.name = id, .steering = Steering::kHold, .etag = harness.job(id).proto.etag()};
  hold.request_id = "r";
  hold.digest = 1;
  ASSERT_TRUE(harness.Ask(hold).ok());
  EXPECT_TRUE(harness.Ask(hold).ok());
  hold.digest = 2;
  EXPECT_EQ(harness.Ask(hold).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(SteeringTest, ARepeatedRequestThatChangedNothingChangesNothingLater) {
  const std::string id = harness.Submit("job", 100);
  ASSERT_TRUE(Steer(id, Steering::kHold).ok());
  SteerJob hold{.name = id, .steering = Steering::kHold};
  hold.request_id = "r";
  hold.digest = 1;
  ASSERT_TRUE(harness.Ask(hold).ok());
  ASSERT_TRUE(Steer(id, Steering::kRelease).ok());
  EXPECT_TRUE(harness.Ask(hold).ok());
  EXPECT_EQ(StateOf(id), v1::JOB_STATE_QUEUED);
}

TEST_F(SteeringTest, AJobIsBlockedUntilTheOneBeforeSucceeds) {
  const std::string first = Run("first", 5);
  ASSERT_TRUE(harness.Create(After("second", first)).ok());
  EXPECT_EQ(StateOf("second"), v1::JOB_STATE_BLOCKED);
  EXPECT_TRUE(absl::StrContains(harness.job("second").proto.status().reason().message(), first));
  harness.Restart();
  EXPECT_EQ(StateOf("second"), v1::JOB_STATE_BLOCKED);
  harness.Connect("node-a", 1);
  harness.Obey("node-a");
  harness.Complete("node-a", first);
  EXPECT_EQ(StateOf(first), v1::JOB_STATE_SUCCEEDED);
  EXPECT_EQ(StateOf("second"), v1::JOB_STATE_QUEUED);
}

TEST_F(SteeringTest, AFailureCancelsThoseThatWaitAndThoseThatWaitForThem) {
  const std::string first = harness.Submit("first", 100);
  ASSERT_TRUE(harness.Create(After("second", first)).ok());
  ASSERT_TRUE(harness.Create(After("third", "second")).ok());
  ASSERT_TRUE(harness.Create(After("other", first, v1::DEPENDENCY_FAILURE_IGNORE)).ok());
  CreateJob held = After("held", first);
  held.hold = true;
  ASSERT_TRUE(harness.Create(held).ok());
  ASSERT_TRUE(harness.Cancel(first).ok());
  EXPECT_EQ(StateOf("second"), v1::JOB_STATE_CANCELLED);
  EXPECT_EQ(harness.job("second").proto.status().reason().code(), "DEPENDENCY_FAILED");
  EXPECT_EQ(StateOf("third"), v1::JOB_STATE_CANCELLED);
  EXPECT_EQ(StateOf("other"), v1::JOB_STATE_QUEUED);
  EXPECT_EQ(StateOf("held"), v1::JOB_STATE_CANCELLED);
}

TEST_F(SteeringTest, AHeldJobWhoseDependencyIsOpenIsBlockedOnRelease) {
  const std::string first = harness.Submit("first", 100);
  ASSERT_TRUE(harness.Create(After("second", first)).ok());
  ASSERT_TRUE(Steer("second", Steering::kHold).ok());
  ASSERT_TRUE(Steer("second", Steering::kRelease).ok());
  EXPECT_EQ(StateOf("second"), v1::JOB_STATE_BLOCKED);
}

TEST_F(SteeringTest, RefusesDependenciesThatAreNotThereOrHaveFailed) {
  EXPECT_EQ(harness.Create(After("job", "nobody")).status().code(),
            absl::StatusCode::kFailedPrecondition);
  const std::string first = harness.Submit("first", 100);
  ASSERT_TRUE(harness.Cancel(first).ok());
  EXPECT_EQ(harness.Create(After("job", first)).status().code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(harness.Create(After("job", first, v1::DEPENDENCY_FAILURE_IGNORE)).ok());
  EXPECT_EQ(StateOf("job"), v1::JOB_STATE_QUEUED);
}

TEST_F(SteeringTest, AForkNamesItsParentAndKeepsTheCheckpointItStartsFrom) {
  const std::string parent = Run("parent", 5);
  CreateJob fork;
  fork.spec = SpecFor("fork", 100);
  fork.queue_anyway = true;
  fork.parent = parent;
  fork.start_path = absl::StrCat("/checkpoints/", parent, "/5");
  fork.spec.mutable_meta()->set_load_checkpoint(true);
  fork.spec.mutable_meta()->set_read_checkpoint(fork.start_path);
  fork.hold = true;
  const auto job = harness.Create(fork);
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_EQ(job->parent(), JobName(kDefaultProject, parent));
  EXPECT_EQ(job->from_checkpoint(),
            absl::StrCat(JobName(kDefaultProject, parent), "/checkpoints/5-1"));
  harness.Restart();
  EXPECT_EQ(harness.job("fork").proto.parent(), JobName(kDefaultProject, parent));
  harness.Connect("node-a", 1);
  harness.Obey("node-a");
  for (int step = 6; step < 12; ++step) {
    harness.Commit(parent, step, absl::StrCat("/checkpoints/", parent, "/", step));
  }
  EXPECT_EQ(harness.job(parent).checkpoints.front().step(), 5) << "the held fork reads it";
  fork.spec.set_name("late");
  fork.id.clear();
  fork.start_path = absl::StrCat("/checkpoints/", parent, "/7");
  EXPECT_EQ(harness.Create(fork).status().code(), absl::StatusCode::kFailedPrecondition)
      << "7 was let go";
}

CreateArray ArrayOf(int jobs, int ranks) {
  CreateArray array;
  for (int i = 0; i < jobs; ++i) {
    CreateJob& job = array.jobs.emplace_back();
    job.spec = SpecFor("sweep", ranks);
    job.uid = absl::StrCat("sweep-uid-", i);
    job.queue_anyway = true;
    job.array.emplace().set_index(i);
    v1::MatrixSetting& setting = *job.array->add_settings();
    setting.set_path("init.seed");
    setting.set_value(absl::StrCat(i));
  }
  return array;
}

TEST_F(SteeringTest, AnArrayIsStoredWholeAndFoundByItsName) {
  CreateArray array = ArrayOf(3, 100);
  array.request_id = "r";
  const auto first = harness.Ask(array);
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ(harness.state().jobs.size(), 3);
  EXPECT_EQ(harness.Ask(array)->name(), first->name()) << "repeated, made once";
  EXPECT_EQ(harness.state().jobs.size(), 3);
  harness.Restart();
  std::vector<int> indices;
  JobQuery query;
  query.labels = {ArrayLabel(first->array().array())};
  query.newest_first = false;
  harness.state().index.Find(query, [&](int64_t number) {
    const Job& job = harness.job(harness.state().ids_by_number.at(number));
    EXPECT_EQ(job.proto.array().settings(0).value(), absl::StrCat(job.proto.array().index()));
    indices.push_back(job.proto.array().index());
    return true;
  });
  EXPECT_THAT(indices, ElementsAre(0, 1, 2));
}

TEST_F(SteeringTest, AnArrayOfWhichOneJobIsRefusedIsNotStored) {
  CreateArray array = ArrayOf(3, 1);
  array.jobs[2].queue_anyway = false;
  array.jobs[2].spec = SpecFor("sweep", 100);
  EXPECT_EQ(harness.Ask(array).status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(harness.state().jobs, IsEmpty());
}

TEST_F(SteeringTest, ARepeatedPinIsAnsweredAndChangesNothing) {
  const std::string id = Run("job", 5);
  PinCheckpoint pin{.name = absl::StrCat(id, "/checkpoints/5"), .request_id = "r", .digest = 1};
  ASSERT_TRUE(harness.Ask(pin).ok());
  ASSERT_TRUE(harness.Pin(pin.name, false).ok());
  const auto again = harness.Ask(pin);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_FALSE(harness.job(id).checkpoints[0].pinned())
      << "it came late, and was carried out before";
  pin.digest = 2;
  EXPECT_EQ(harness.Ask(pin).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(SteeringTest, AnArrayIsCancelledInOneStepAndOnce) {
  CreateArray sweep;
  for (int i = 0; i < 3; ++i) {
    CreateJob& job = sweep.jobs.emplace_back();
    job.spec = SpecFor("sweep", 100);
    job.uid = absl::StrCat("sweep-", i);
    job.queue_anyway = true;
    job.array.emplace().set_index(i);
  }
  const auto first = harness.Ask(sweep);
  ASSERT_TRUE(first.ok()) << first.status();
  CancelArray cancel{.name = first->array().array(), .request_id = "r", .digest = 1};
  CancelArray foreign = cancel;
  foreign.request_id = "other";
  foreign.name = ArrayName("elsewhere", ArrayId(cancel.name));
  ASSERT_TRUE(harness.Ask(foreign).ok());
  EXPECT_EQ(harness.state().queued.size(), 3) << "there is none of that name in that project";
  ASSERT_TRUE(harness.Ask(cancel).ok());
  EXPECT_THAT(harness.state().queued, IsEmpty());
  EXPECT_TRUE(harness.Ask(cancel).ok());
  cancel.digest = 2;
  EXPECT_EQ(harness.Ask(cancel).status().code(), absl::StatusCode::kInvalidArgument);
  // One that found nothing to cancel is remembered, too.
  cancel.request_id = "late";
  ASSERT_TRUE(harness.Ask(cancel).ok());
  cancel.digest = 3;
  EXPECT_EQ(harness.Ask(cancel).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(SteeringTest, AJobIsKnownByItsProject) {
  CreateJob command;
  command.spec = SpecFor("job", 100);
  command.queue_anyway = true;
  command.project = "vision";
  const auto made = harness.Create(command);
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ(made->name(), "projects/vision/jobs/job");
  EXPECT_NE(FindJob(harness.state(), "projects/vision/jobs/job"), nullptr);
  EXPECT_EQ(FindJob(harness.state(), "projects/default/jobs/job"), nullptr);
  EXPECT_EQ(harness.Cancel(WholeJobName("job")).status().code(), absl::StatusCode::kNotFound);
  const auto after = harness.Create(After("after", "job"));
  EXPECT_EQ(after.status().code(), absl::StatusCode::kFailedPrecondition)
      << "jobs wait for those of their own project";
  EXPECT_FALSE(harness.Create(After("after", "projects/vision/jobs/job")).ok());
  CreateJob within = After("within", "job");
  within.project = "vision";
  EXPECT_TRUE(harness.Create(within).ok());
}

TEST_F(SteeringTest, AJobLikeOthersThatWaitAsksForNoPassOfItsOwn) {
  harness.Submit("first", 100);
  const int64_t passes = harness.state().figures.passes;
  harness.Submit("second", 100);
  EXPECT_EQ(harness.state().figures.passes, passes);
  EXPECT_EQ(harness.job("second").proto.status().reason().code(),
            harness.job("first").proto.status().reason().code());
  harness.Submit("other", 99);
  EXPECT_EQ(harness.state().figures.passes, passes + 1);
  // What changes with time alone is looked at, too.
  harness.Advance(absl::Seconds(6));
  EXPECT_EQ(harness.state().figures.passes, passes + 2);
}

TEST_F(SteeringTest, AJobThatGoesBeforeOthersOfItsKindAsksForAPass) {
  harness.Submit("first", 100);
  const int64_t passes = harness.state().figures.passes;
  CreateJob sooner;
  sooner.spec = SpecFor("sooner", 100);
  sooner.spec.set_priority(1);
  sooner.queue_anyway = true;
  ASSERT_TRUE(harness.Create(sooner).ok());
  ASSERT_EQ(harness.state().waiting.groups().size(), 1);
  EXPECT_EQ(harness.state().figures.passes, passes + 1);
}

}  // namespace
}  // namespace ijepa::coordinator
