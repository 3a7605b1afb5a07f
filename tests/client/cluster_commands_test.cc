// ijepactl queues, nodes maintenance, list --watch and --project, against a fake coordinator.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include "tests/client/program.h"
#include "tests/client/sample_job.h"
#include "tests/fakes/fake_coordinator.h"

namespace ijepa::client {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::SizeIs;

class ClusterCommandsTest : public testing::Test {
 protected:
  ProgramOptions Options() { return {.coordinator = fake_.address()}; }
  Output Run(const std::vector<std::string>& arguments) { return RunProgram(arguments, Options()); }
  FakeCoordinator fake_;
};

TEST_F(ClusterCommandsTest, QueuesShowWhoPlacesQuotaUseAndWhatIsBorrowed) {
  v1::Queue research;
  research.set_name("queues/research");
  research.set_nominal(64);
  research.set_borrowing_limit(32);
  research.set_weight(2);
  research.set_used(80);
  research.set_waiting_jobs(7);
  research.set_priority_class("normal");
  research.set_backend("slurm");
  fake_.AddQueue(research);
  v1::Queue open;
  open.set_name("queues/default");
  open.set_used(5);
  open.set_backend("own");
  fake_.AddQueue(open);
  const Output output = Run({"queues"});
  EXPECT_EQ(output.code, 0) << output.err;
  const std::vector<std::string> lines = Lines(output.out);
  ASSERT_THAT(lines, SizeIs(3));
  EXPECT_THAT(lines[0], AllOf(HasSubstr("PLACED BY"), HasSubstr("QUOTA"), HasSubstr("USED"),
                              HasSubstr("BORROWED")));
  EXPECT_THAT(lines[1], testing::MatchesRegex("research +slurm +64 +32 +- +80 +16 +7 .*"));
  EXPECT_THAT(lines[2], testing::MatchesRegex("default +own +- +- +- +5 +- +0 .*"));
  EXPECT_THAT(Run({"queues", "-o", "json"}).out, HasSubstr("\"queues/research\""));
}

TEST_F(ClusterCommandsTest, AMaintenanceWindowIsAddedToThoseThatAreThere) {
  v1::Node node;
  node.set_name("nodes/node-a");
  node.add_maintenance()->set_reason("before");
  fake_.AddNode(node);
  const Output output = Run({"nodes", "maintenance", "node-a", "--start", "2030-01-02T03:00:00Z",
                             "--for", "90m", "--reason", "new fans"});
  EXPECT_EQ(output.code, 0) << output.err;
  EXPECT_EQ(Run({"nodes", "maintenance", "node-a", "--clear"}).code, 0);
  const std::vector<v1::SetMaintenanceRequest> asked = fake_.maintenances();
  ASSERT_THAT(asked, SizeIs(2));
  ASSERT_EQ(asked[0].windows_size(), 2);
  EXPECT_EQ(asked[0].windows(0).reason(), "before");
  const v1::MaintenanceWindow& added = asked[0].windows(1);
  EXPECT_EQ(added.reason(), "new fans");
  EXPECT_EQ(added.start_time().seconds(), 1893553200);
  EXPECT_EQ(added.end_time().seconds() - added.start_time().seconds(), 90 * 60);
  EXPECT_EQ(asked[1].windows_size(), 0);
}

TEST_F(ClusterCommandsTest, AWindowThatCannotBeReadIsAUsageError) {
  EXPECT_EQ(Run({"nodes", "maintenance", "node-a", "--start", "soon", "--for", "1h"}).code, 2);
  const Output output = Run({"nodes", "maintenance", "node-a", "--start", "2h"});
  EXPECT_EQ(output.code, 2);
  EXPECT_THAT(output.err, HasSubstr("--for"));
  EXPECT_THAT(fake_.maintenances(), testing::IsEmpty());
}

TEST_F(ClusterCommandsTest, AWatchedListGoesOnAfterABrokenStreamAndBeginsAgainWhereItMust) {
  const auto stream = [](const std::string& job, int64_t revision, grpc::StatusCode end) {
    FakeStream<v1::WatchJobsResponse> stream;
    v1::WatchJobsResponse& answer = stream.items.emplace_back();
    *answer.add_jobs() = SampleJob(job, v1::JOB_STATE_RUNNING, 500);
    answer.set_revision(revision);
    stream.end = {end, "over"};
    return stream;
  };
  fake_.PushListWatch(stream("demo-1", 7, grpc::StatusCode::UNAVAILABLE));
  fake_.PushListWatch(stream("demo-2", 9, grpc::StatusCode::OUT_OF_RANGE));
  FakeStream<v1::WatchJobsResponse> last = stream("demo-3", 11, grpc::StatusCode::OK);
  last.hold = true;
  fake_.PushListWatch(last);
  Program program({"list", "--watch", "--state", "running", "-l", "team=vision"}, Options());
  ASSERT_TRUE(program.WaitForOutput("demo-3  RUNNING  step 500/1000"));
  program.Signal(SIGINT);
  EXPECT_EQ(program.Wait().code, 130);
  const std::vector<v1::WatchJobsRequest> asked = fake_.list_watches();
  ASSERT_THAT(asked, SizeIs(3));
  EXPECT_EQ(asked[0].states(0), v1::JOB_STATE_RUNNING);
  EXPECT_EQ(asked[0].labels(0), "team=vision");
  EXPECT_EQ(asked[1].revision(), 7);
  EXPECT_EQ(asked[2].revision(), 0);
}

TEST_F(ClusterCommandsTest, AProjectIsNamedOnceForAllThatIsAsked) {
  v1::Job job = SampleJob("demo-1", v1::JOB_STATE_QUEUED, 0);
  job.set_name("projects/vision/jobs/demo-1");
  fake_.AddJob(job);
  EXPECT_EQ(Run({"--project", "vision", "cancel", "demo-1"}).code, 0);
  EXPECT_EQ(fake_.cancels().at(0).name(), "projects/vision/jobs/demo-1");
  ProgramOptions options = Options();
  options.environment = {"IJEPA_PROJECT=vision"};
  EXPECT_EQ(RunProgram({"list"}, options).code, 0);
  EXPECT_EQ(fake_.lists().at(0).project(), "vision");
}

}  // namespace
}  // namespace ijepa::client
