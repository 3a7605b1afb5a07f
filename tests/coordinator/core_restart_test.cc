// A coordinator that dies anywhere comes back as it was: the state rebuilt from the store equals
// the one that was lost, in every state of a job.
#include <gtest/gtest.h>

#include <functional>

#include "coordinator/core/records.h"
#include "core_harness.h"

namespace ijepa::coordinator {
namespace {

// What must survive, as one text: everything of jobs but the history's last lines, and all nodes.
std::string Survivors(const State& state) {
  std::string text;
  for (const auto& [id, job] : state.jobs) {
    v1::Job proto = job.proto;
    proto.clear_etag();
    proto.mutable_status()->clear_events();
    // Worked out again by the next pass.
    if (job.state() == v1::JOB_STATE_QUEUED) proto.mutable_status()->clear_reason();
    text += proto.DebugString();
    for (const v1::Checkpoint& checkpoint : job.checkpoints) text += checkpoint.DebugString();
    for (const std::string& path : job.deletable) text += path + "\n";
    text += "no_progress " + std::to_string(job.no_progress) + "\n";
    if (job.evidence.has_value()) text += job.evidence->DebugString();
    if (!job.gang.has_value()) continue;
    text += "gang " + std::to_string(job.gang->generation) +
            (job.gang->clearing ? " clearing\n" : "\n");
    for (const RankState& rank : job.gang->ranks) text += rank.node + "\n";
    for (const auto& [key, value] : job.gang->rendezvous) text += key + "=" + value + "\n";
  }
  for (const auto& [name, node] : state.nodes) {
    text += name + " " + std::to_string(SlotsUsed(state, node)) + " " + node.incarnation + "\n";
  }
  for (const auto& [id, request] : state.requests) text += id + request.DebugString();
  return text;
}

struct Case {
  const char* name;
  v1::JobState state;
  std::function<void(CoreHarness&)> bring;
};

void Run(CoreHarness& core) { core.RunTo("job", 10); }

void Put(CoreHarness& core) {
  v1::FromRank message;
  message.set_sequence(1);
  message.mutable_put()->set_key("gloo/0");
  message.mutable_put()->set_value("address");
  core.Obey("node-a", v1::RANK_PHASE_STARTING);
  core.FromRank("job", 0, message);
}

void Fail(CoreHarness& core) {
  Run(core);
  core.Commit("job", 10, "/c/10");
  core.Exit("node-a", "job", 0, KilledBy(9, core.now().wall));
  core.Report("node-a");
}

void BackOff(CoreHarness& core) {
  for (int i = 0; i < 2; ++i) {
    core.Obey("node-a");
    core.Exit("node-a", "job", 0, KilledBy(9, core.now().wall));
    core.Exit("node-a", "job", 1, KilledBy(9, core.now().wall));
    core.Report("node-a");
  }
}

std::vector<Case> Cases() {
  return {
      {"queued", v1::JOB_STATE_QUEUED, [](CoreHarness& core) { BackOff(core); }},
      {"starting", v1::JOB_STATE_STARTING, Put},
      {"running", v1::JOB_STATE_RUNNING,
       [](CoreHarness& core) {
         Run(core);
         core.Commit("job", 10, "/c/10");
       }},
      {"recovering", v1::JOB_STATE_RECOVERING, Fail},
      {"cancelling", v1::JOB_STATE_CANCELLING,
       [](CoreHarness& core) {
         Run(core);
         (void)core.Cancel("job");
       }},
      {"succeeded", v1::JOB_STATE_SUCCEEDED,
       [](CoreHarness& core) {
         Run(core);
         core.Complete("node-a", "job");
       }},
      {"failed", v1::JOB_STATE_FAILED,
       [](CoreHarness& core) {
         core.Obey("node-a");
         for (int rank : {0, 1}) {
           core.Exit("node-a", "job", rank, FailedWith("NOT_FOUND", "no data", core.now().wall));
         }
         core.Report("node-a");
       }},
      {"cancelled", v1::JOB_STATE_CANCELLED,
       [](CoreHarness& core) {
         (void)core.Cancel("job");
         core.Obey("node-a");
       }},
  };
}

TEST(CoreRestartTest, EveryStateOfAJobSurvives) {
  for (const Case& c : Cases()) {
    SCOPED_TRACE(c.name);
    CoreHarness core;
    core.Connect("node-a", 2);
    core.Submit("job", 2);
    c.bring(core);
    ASSERT_EQ(core.state_of("job"), c.state);
    const std::string before = Survivors(core.state());
    core.Restart();
    EXPECT_EQ(Survivors(core.state()), before);
    EXPECT_EQ(core.state_of("job"), c.state);
    core.Restart();
    EXPECT_EQ(Survivors(core.state()), before);
  }
}

TEST(CoreRestartTest, EveryStateOfAJobIsLeftAfterARestart) {
  for (const Case& c : Cases()) {
    SCOPED_TRACE(c.name);
    CoreHarness core;
    core.Connect("node-a", 2);
    core.Submit("job", 2);
    c.bring(core);
    core.Restart();
    core.Connect("node-a", 2);
    for (int i = 0;
         i < 30 && core.state().active.count("job") + core.state().queued.count("job") > 0; ++i) {
      core.Obey("node-a");
      if (core.job("job").gang.has_value() && !core.job("job").gang->clearing) {
        core.Complete("node-a", "job");
      }
      core.Advance(absl::Seconds(5));
    }
    EXPECT_TRUE(core.state().active.empty());
    EXPECT_TRUE(core.state().queued.empty());
    EXPECT_EQ(SlotsUsed(core.state(), core.state().nodes.at("node-a")), 0);
    EXPECT_TRUE(core.store().Range("rendezvous/")->empty());
  }
}

TEST(CoreRestartTest, ARunningJobGoesOnAndSaysThatTheCoordinatorRestarted) {
  CoreHarness core;
  core.Connect("node-a", 1);
  const std::string id = core.Submit("job", 1);
  core.RunTo(id, 5);
  core.Restart();
  EXPECT_TRUE(core.HasEvent(id, "COORDINATOR_RESTARTED"));
  core.Advance(absl::Seconds(15));
  core.Connect("node-a", 1);
  core.Obey("node-a");
  EXPECT_EQ(core.state_of(id), v1::JOB_STATE_RUNNING);
  EXPECT_EQ(core.job(id).proto.status().attempts_size(), 1);
  EXPECT_TRUE(core.Commit(id, 20, "/c/20").committed());
}

TEST(CoreRestartTest, NodesGetAFreshLeaseAndAreLostWhenTheyStayAway) {
  CoreHarness core;
  core.Connect("node-a", 1);
  const std::string id = core.Submit("job", 1);
  core.RunTo(id, 5);
  core.Advance(absl::Seconds(15));
  core.Restart();
  core.Advance(absl::Seconds(19));
  EXPECT_EQ(core.state().nodes.at("node-a").state, v1::NODE_STATE_READY);
  core.Advance(absl::Seconds(42));
  EXPECT_EQ(core.state().nodes.at("node-a").state, v1::NODE_STATE_LOST);
  EXPECT_EQ(core.state_of(id), v1::JOB_STATE_QUEUED);
}

TEST(CoreRestartTest, RanksThatWereToBeKilledAreNotWantedAgain) {
  CoreHarness core;
  core.Connect("node-a", 1);
  const std::string id = core.Submit("job", 1);
  core.Obey("node-a", v1::RANK_PHASE_STARTING);
  ASSERT_TRUE(core.Cancel(id).ok());
  core.Restart();
  core.Connect("node-a", 1);
  EXPECT_EQ(core.state_of(id), v1::JOB_STATE_CANCELLING);
  EXPECT_EQ(core.desired("node-a").gangs_size(), 0);
  core.Obey("node-a");
  EXPECT_EQ(core.state_of(id), v1::JOB_STATE_CANCELLED);
}

TEST(CoreRestartTest, RevisionsRiseOverEpochs) {
  CoreHarness core;
  core.Connect("node-a", 1);
  core.Submit("job", 1);
  const int64_t before = core.desired("node-a").revision();
  core.Restart();
  core.Connect("node-a", 1);
  EXPECT_GT(core.desired("node-a").revision(), before);
}

TEST(CoreRestartTest, AReportIsAnsweredWithoutARepeatedDesiredState) {
  CoreHarness core;
  core.Connect("node-a", 1);
  core.Submit("job", 1);
  core.Obey("node-a");
  const size_t before = core.effects().size();
  core.Report("node-a");
  int messages = 0;
  for (size_t i = before; i < core.effects().size(); ++i) {
    if (const auto* send = std::get_if<SendToWorker>(&core.effects()[i])) {
      ++messages;
      EXPECT_FALSE(send->message.has_desired()) << "worker and coordinator would talk for ever";
      EXPECT_EQ(send->message.coordinator_epoch(), 1);
    }
  }
  EXPECT_EQ(messages, 1);
}

TEST(CoreRestartTest, NamesTheKeyOfADamagedValue) {
  const absl::Status status =
      Core::Restore(CoreOptions(), {1, 0}, {{"job/broken", "\xff\xff"}}, Now()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_NE(status.message().find("job/broken"), absl::string_view::npos);
}

}  // namespace
}  // namespace ijepa::coordinator
