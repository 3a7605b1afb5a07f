// Jobs that have ended leave the live state, whole, and can still be spoken of.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "coordinator/core/sealing.h"
#include "core_harness.h"

namespace ijepa::coordinator {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class SealingTest : public ::testing::Test {
 protected:
  // A job that ran to its end, with all that a job has.
  std::string RunToTheEnd(const std::string& name) {
    harness.Connect("node-a", 1);
    const std::string id = harness.Submit(name, 1);
    harness.RunTo(id, 5);
    harness.Commit(id, 5, absl::StrCat("/checkpoints/", id, "/5"));
    harness.Obey("node-a");
    harness.Complete("node-a", id);
    return id;
  }

  void SealAll() {
    harness.Advance(harness.options().seal_after);
    harness.Do(SealEnded{});
  }

  std::optional<v1::SealedJob> Past(const std::string& id) {
    auto record = *(*harness.store().OpenHistory())->Find(id);
    if (!record.has_value()) return std::nullopt;
    v1::SealedJob job;
    EXPECT_TRUE(job.ParseFromString(*record));
    return job;
  }

  std::vector<int64_t> Numbers(const JobQuery& query) {
    std::vector<int64_t> numbers;
    harness.state().index.Find(query, [&](int64_t number) {
      numbers.push_back(number);
      return true;
    });
    return numbers;
  }

  CoreHarness harness;
};

TEST_F(SealingTest, AnEndedJobMovesToHistoryWhole) {
  const std::string id = RunToTheEnd("job");
  const v1::Job before = harness.job(id).proto;
  ASSERT_EQ(before.status().state(), v1::JOB_STATE_SUCCEEDED);
  SealAll();
  EXPECT_EQ(FindJob(harness.state(), id), nullptr);
  EXPECT_EQ(FindJobByUid(harness.state(), before.uid()), nullptr);
  const auto past = Past(id);
  ASSERT_TRUE(past.has_value());
  EXPECT_EQ(past->job().SerializeAsString(), before.SerializeAsString());
  EXPECT_EQ(past->checkpoints_size(), 1);
  EXPECT_EQ(harness.state().sealed_by_state.at(v1::JOB_STATE_SUCCEEDED), 1);
  for (const char* prefix :
       {"job/", "spec/", "curve/", "attempt/", "event/", "checkpoint/", "probe/"}) {
    EXPECT_THAT(*harness.store().Range(prefix), IsEmpty()) << prefix;
  }
}

TEST_F(SealingTest, StaysLiveForAWhileAndWhileItHasNotEnded) {
  RunToTheEnd("done");
  harness.Submit("waits", 100);
  harness.Do(SealEnded{});
  EXPECT_EQ(harness.state().jobs.size(), 2);
  SealAll();
  EXPECT_EQ(harness.state().jobs.size(), 1);
  EXPECT_EQ(harness.state().jobs.begin()->first, "waits");
}

TEST_F(SealingTest, NumbersGoOnAfterARestartThoughAllIsSealed) {
  RunToTheEnd("first");
  SealAll();
  HistoryCounts past = *(*harness.store().OpenHistory())->Count();
  EXPECT_EQ(past.last_number, 1);
  auto core = Core::Restore(harness.options(), {7, 0}, harness.store(), past, harness.now());
  ASSERT_TRUE(core.ok()) << core.status();
  EXPECT_EQ((*core)->state().last_number, 1);
  EXPECT_EQ((*core)->state().sealed_by_state.at(v1::JOB_STATE_SUCCEEDED), 1);
}

TEST_F(SealingTest, APinOfASealedJobChangesItsRecord) {
  const std::string id = RunToTheEnd("job");
  SealAll();
  const PinCheckpoint pin{1, absl::StrCat(id, "/checkpoints/5"), true};
  EXPECT_THAT(PastJobsOf(harness.state(), pin), ElementsAre(id));
  const std::string etag = Past(id)->job().etag();
  ASSERT_TRUE(harness.Pin(pin.name, true).ok());
  EXPECT_TRUE(Past(id)->checkpoints(0).pinned());
  EXPECT_NE(Past(id)->job().etag(), etag);
  ASSERT_TRUE(harness.Pin(pin.name, false).ok());
  EXPECT_FALSE(Past(id)->checkpoints(0).pinned());
  EXPECT_FALSE(harness.Pin(absl::StrCat(id, "/checkpoints/6"), true).ok());
}

TEST_F(SealingTest, CancellingASealedJobAnswersWithIt) {
  const std::string id = RunToTheEnd("job");
  SealAll();
  const auto job = harness.Cancel(id);
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_EQ(job->status().state(), v1::JOB_STATE_SUCCEEDED);
}

TEST_F(SealingTest, TheRequestIdOfACancelOfASealedJobIsTaken) {
  const std::string id = RunToTheEnd("job");
  SealAll();
  const CancelJob cancel{.name = id, .request_id = "r", .digest = 1};
  ASSERT_TRUE(harness.Ask(cancel).ok());
  EXPECT_EQ(harness.Ask(cancel)->status().state(), v1::JOB_STATE_SUCCEEDED);
  const std::string other = harness.Submit("other", 100);
  const absl::Status reused =
      harness.Ask(CancelJob{.name = other, .request_id = "r", .digest = 2}).status();
  EXPECT_THAT(reused.ToString(), ::testing::HasSubstr("REQUEST_ID_REUSED"));
  EXPECT_EQ(harness.state_of(other), v1::JOB_STATE_QUEUED);
}

TEST_F(SealingTest, ARepeatedSubmitIsAnsweredThoughTheJobIsSealed) {
  CreateJob command;
  command.spec = SpecFor("job", 1);
  command.request_id = "request";
  command.queue_anyway = true;
  ASSERT_TRUE(harness.Create(command).ok());
  ASSERT_TRUE(harness.Cancel("job").ok());
  SealAll();
  command.uid = "another";
  const auto again = harness.Create(command);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->uid(), "uid-job");
  EXPECT_TRUE(harness.state().jobs.empty());
}

TEST_F(SealingTest, SealsTheOldestFirstAndSomeAtATime) {
  for (int i = 0; i < 200; ++i) {
    const std::string id = harness.Submit(absl::StrCat("job-", i), 100);
    ASSERT_TRUE(harness.Cancel(id).ok());
  }
  SealAll();
  EXPECT_GT(harness.state().jobs.size(), 0);
  EXPECT_TRUE(Past("job-0").has_value());
  EXPECT_FALSE(Past("job-199").has_value());
  harness.Restart();
  harness.Do(SealEnded{});
  EXPECT_EQ(harness.state().jobs.size(), 0);
  EXPECT_TRUE(Past("job-199").has_value());
}

TEST_F(SealingTest, HistoryForgetsWhatIsOld) {
  const std::string id = RunToTheEnd("job");
  SealAll();
  harness.Jump(harness.options().keep_history);
  harness.Do(SealEnded{});
  EXPECT_FALSE(Past(id).has_value());
}

TEST_F(SealingTest, NumbersAreNotGivenAgainOnceHistoryHasForgotten) {
  CreateJob command;
  command.spec = SpecFor("job", 100);
  command.queue_anyway = true;
  command.uid = "one";
  const auto first = harness.Ask(command);
  ASSERT_TRUE(first.ok()) << first.status();
  ASSERT_TRUE(harness.Cancel(first->name()).ok());
  SealAll();
  harness.Jump(harness.options().keep_history);
  harness.Do(SealEnded{});
  ASSERT_EQ((*(*harness.store().OpenHistory())->Count()).last_number, 0) << "all is forgotten";
  harness.Restart();
  command.uid = "another";
  const auto second = harness.Ask(command);
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_NE(second->name(), first->name());
}

TEST_F(SealingTest, EachJobOfHistoryIsLookedUpOnce) {
  const std::string id = RunToTheEnd("job");
  SealAll();
  CreateArray sweep;
  for (int i = 0; i < 3; ++i) {
    CreateJob& job = sweep.jobs.emplace_back();
    job.spec = SpecFor("sweep", 1);
    for (int twice = 0; twice < 2; ++twice) job.spec.add_depends_on()->set_job(id);
  }
  EXPECT_THAT(PastJobsOf(harness.state(), sweep), ElementsAre(id));
}

TEST_F(SealingTest, IdsComeFromNumbersAndNeverRepeat) {
  std::set<std::string> ids;
  for (int i = 0; i < 500; ++i) {
    CreateJob command;
    command.token = 1000000 + i;
    command.spec = SpecFor("demo", 1);
    command.uid = absl::StrCat("uid-", i);
    command.queue_anyway = true;
    harness.Do(command);
  }
  for (const auto& [id, job] : harness.state().jobs) {
    EXPECT_THAT(id, ::testing::MatchesRegex("demo-[a-z2-7]+"));
    EXPECT_EQ(id.size(), 11);
  }
  EXPECT_EQ(harness.state().jobs.size(), 500);
}

TEST_F(SealingTest, TheIndexFollowsStatesAndLabels) {
  for (const char* name : {"a", "b", "c"}) {
    CreateJob command;
    command.spec = SpecFor(name, 100);
    command.queue_anyway = true;
    v1::Label& label = *command.spec.add_labels();
    label.set_key("team");
    label.set_value(name[0] == 'b' ? "audio" : "vision");
    ASSERT_TRUE(harness.Create(command).ok());
  }
  ASSERT_TRUE(harness.Cancel("c").ok());
  const auto check = [&] {
    EXPECT_THAT(Numbers({}), ElementsAre(3, 2, 1));
    EXPECT_THAT(Numbers({{v1::JOB_STATE_QUEUED}}), ElementsAre(2, 1));
    EXPECT_THAT(Numbers({{v1::JOB_STATE_QUEUED}, {"team=vision"}}), ElementsAre(1));
    EXPECT_THAT(Numbers({{}, {"team=vision"}}), ElementsAre(3, 1));
    EXPECT_THAT(Numbers({{}, {"team=none"}}), IsEmpty());
    EXPECT_THAT(Numbers({{}, {}, 1, 3}), ElementsAre(2));
    EXPECT_THAT(Numbers({{}, {}, 0, INT64_MAX, false}), ElementsAre(1, 2, 3));
  };
  check();
  harness.Restart();
  check();
  SealAll();
  EXPECT_THAT(Numbers({{}, {"team=vision"}}), ElementsAre(1));
}

}  // namespace
}  // namespace ijepa::coordinator
