// Jobs that have left the live state are seen and changed through the API as before.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>

#include "absl/time/clock.h"
#include "fake_worker.h"
#include "services_fixture.h"

namespace ijepa::coordinator {
namespace {

using ::testing::ElementsAre;

class HistoryServicesTest : public ServicesTest {
 protected:
  void SetUp() override {
    seal_after = absl::ZeroDuration();
    StartServer();
  }

  // Live jobs, as the state thread sees them after a tick.
  size_t LiveJobs() {
    std::promise<size_t> seen;
    server->state().Read([&](const State* state) { seen.set_value(state->jobs.size()); });
    return seen.get_future().get();
  }

  void WaitForLiveJobs(size_t count) {
    const absl::Time deadline = absl::Now() + absl::Seconds(30);
    while (LiveJobs() != count && absl::Now() < deadline) absl::SleepFor(absl::Milliseconds(5));
    ASSERT_EQ(LiveJobs(), count);
  }

  v1::ListJobsResponse List(const v1::ListJobsRequest& request) {
    grpc::ClientContext context;
    SetDeadline(context);
    v1::ListJobsResponse response;
    const grpc::Status status = jobs->ListJobs(&context, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response;
  }

  std::vector<std::string> Names(const v1::ListJobsResponse& response) {
    std::vector<std::string> names;
    for (const v1::Job& job : response.jobs()) names.push_back(job.name());
    return names;
  }
};

TEST_F(HistoryServicesTest, ASealedJobIsShownWatchedAndCancelledAsBefore) {
  const std::string name = Submit("job", 1);
  Cancel(name);
  WaitForLiveJobs(0);
  EXPECT_EQ(Get(name).status().state(), v1::JOB_STATE_CANCELLED);
  EXPECT_GT(Get(name).status().events_size(), 0);
  EXPECT_THAT(Watch(name), ElementsAre(v1::JOB_STATE_CANCELLED));
  Cancel(name);
  v1::ReadLogsRequest logs;
  logs.set_job(name);
  logs.set_follow(true);
  EXPECT_THAT(ReadLogs(logs), ElementsAre());
  StartServer();
  EXPECT_EQ(Get(name).status().state(), v1::JOB_STATE_CANCELLED) << "and after a restart";
}

TEST_F(HistoryServicesTest, PagesRunThroughPresentAndPastByNumber) {
  std::vector<std::string> names;
  for (int i = 0; i < 6; ++i) names.push_back(Submit("job" + std::to_string(i), 1));
  for (int i : {0, 2, 5}) Cancel(names[i]);
  WaitForLiveJobs(3);
  v1::ListJobsRequest request;
  request.set_page_size(4);
  v1::ListJobsResponse page = List(request);
  EXPECT_THAT(Names(page), ElementsAre(names[5], names[4], names[3], names[2]));
  request.set_page_token(page.next_page_token());
  page = List(request);
  EXPECT_THAT(Names(page), ElementsAre(names[1], names[0]));
  EXPECT_EQ(page.next_page_token(), "");
  request.set_order_by("number");
  grpc::ClientContext context;
  SetDeadline(context);
  EXPECT_EQ(jobs->ListJobs(&context, request, &page).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT)
      << "the token is of the other order";
  request.clear_page_token();
  request.add_states(v1::JOB_STATE_CANCELLED);
  EXPECT_THAT(Names(List(request)), ElementsAre(names[0], names[2], names[5]));
}

TEST_F(HistoryServicesTest, ListsByLabelWhereverTheJobIs) {
  std::vector<std::string> names;
  for (int i = 0; i < 4; ++i) {
    v1::CreateJobRequest request = RequestFor("job", 1);
    request.set_queue_anyway(true);
    v1::Label& label = *request.mutable_spec()->add_labels();
    label.set_key("team");
    label.set_value(i % 2 == 0 ? "vision" : "audio");
    v1::Job job;
    ASSERT_TRUE(Create(request, job).ok());
    names.push_back(job.name());
  }
  Cancel(names[0]);
  WaitForLiveJobs(3);
  v1::ListJobsRequest request;
  request.add_labels("team=vision");
  EXPECT_THAT(Names(List(request)), ElementsAre(names[2], names[0]));
  request.add_states(v1::JOB_STATE_QUEUED);
  EXPECT_THAT(Names(List(request)), ElementsAre(names[2]));
}

TEST_F(HistoryServicesTest, LastLinesOfAnEndedJobAreKept) {
  FakeWorker worker(server->worker_address());
  worker.Hello("node-a", 1);
  ASSERT_TRUE(worker.ReadDesired(0));
  const std::string name = Submit("job", 1);
  ASSERT_TRUE(worker.ReadDesired(1));
  worker.Report(v1::RANK_PHASE_TRAINING);
  worker.FromRank(0, StepOf(1));
  worker.Report(v1::RANK_PHASE_EXITED);
  ASSERT_TRUE(worker.ReadDesired(0));
  WaitForLiveJobs(0);
  worker.Log(0, 0, "the last line\n");
  ASSERT_TRUE(worker.ReadUntil(
      [](const v1::CoordinatorMessage& message) { return message.has_log_ack(); }));
  v1::ReadLogsRequest logs;
  logs.set_job(name);
  EXPECT_THAT(ReadLogs(logs), ElementsAre("the last line"));
}

}  // namespace
}  // namespace ijepa::coordinator
