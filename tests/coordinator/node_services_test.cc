// Nodes and queues over gRPC: cordons, maintenance, quotas; workers that say nothing.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "fake_worker.h"
#include "services_fixture.h"

namespace ijepa::coordinator {
namespace {

using ::testing::HasSubstr;

class NodeServicesTest : public ServicesTest {
 protected:
  void SetUp() override {
    StartServer();
    nodes = v1::NodeService::NewStub(channel);
    queues = v1::QueueService::NewStub(channel);
  }

  Settings MakeSettings() override {
    Settings settings = ServicesTest::MakeSettings();
    QueueRules& research = settings.core.scheduling.queues["research"];
    research.nominal = 1;
    research.borrowing_limit = 4;
    research.weight = 2;
    settings.hello_deadline = hello_deadline;
    return settings;
  }

  v1::Node Cordon(const std::string& name, const std::string& reason) {
    grpc::ClientContext context;
    SetDeadline(context);
    v1::CordonNodeRequest request;
    request.set_name(name);
    request.set_reason(reason);
    v1::Node node;
    const grpc::Status status = nodes->CordonNode(&context, request, &node);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return node;
  }

  grpc::Status SetMaintenance(const std::string& name, absl::Time start, absl::Time end,
                              v1::Node& node) {
    grpc::ClientContext context;
    SetDeadline(context);
    v1::SetMaintenanceRequest request;
    request.set_name(name);
    v1::MaintenanceWindow& window = *request.add_windows();
    *window.mutable_start_time() = ToProto(start);
    *window.mutable_end_time() = ToProto(end);
    window.set_reason("new fans");
    return nodes->SetMaintenance(&context, request, &node);
  }

  std::map<std::string, v1::Queue> Queues() {
    grpc::ClientContext context;
    SetDeadline(context);
    v1::ListQueuesResponse response;
    EXPECT_TRUE(queues->ListQueues(&context, {}, &response).ok());
    std::map<std::string, v1::Queue> by_name;
    for (const v1::Queue& queue : response.queues()) by_name[queue.name()] = queue;
    return by_name;
  }

  absl::Duration hello_deadline = absl::Seconds(10);
  std::unique_ptr<v1::NodeService::Stub> nodes;
  std::unique_ptr<v1::QueueService::Stub> queues;
};

TEST_F(NodeServicesTest, ACordonedNodeIsGivenNothingUntilItIsUncordoned) {
  FakeWorker worker(server->worker_address());
  worker.Hello("node-a", 1);
  ASSERT_TRUE(worker.ReadDesired(0));
  const v1::Node cordoned = Cordon("nodes/node-a", "new fans");
  EXPECT_TRUE(cordoned.cordoned());
  EXPECT_EQ(cordoned.cordon_reason(), "new fans");
  const std::string job = Submit("job", 1);
  EXPECT_EQ(Get(job).status().state(), v1::JOB_STATE_QUEUED);
  StartServer();
  nodes = v1::NodeService::NewStub(channel);
  FakeWorker again(server->worker_address());
  again.Hello("node-a", 1);
  ASSERT_TRUE(again.ReadDesired(0));
  EXPECT_EQ(Get(job).status().state(), v1::JOB_STATE_QUEUED) << "it outlives the coordinator";
  grpc::ClientContext context;
  SetDeadline(context);
  v1::UncordonNodeRequest request;
  request.set_name("node-a");
  v1::Node node;
  ASSERT_TRUE(nodes->UncordonNode(&context, request, &node).ok());
  EXPECT_FALSE(node.cordoned());
  EXPECT_EQ(node.cordon_reason(), "");
  EXPECT_TRUE(again.ReadDesired(1));
}

TEST_F(NodeServicesTest, CordonsOfUnknownNodesAndEndlessReasonsAreRefused) {
  grpc::ClientContext context;
  SetDeadline(context);
  v1::CordonNodeRequest request;
  request.set_name("nobody");
  v1::Node node;
  EXPECT_EQ(nodes->CordonNode(&context, request, &node).error_code(), grpc::StatusCode::NOT_FOUND);
  FakeWorker worker(server->worker_address());
  worker.Hello("node-a", 1);
  ASSERT_TRUE(worker.ReadDesired(0));
  request.set_name("node-a");
  request.set_reason(std::string(257, 'x'));
  grpc::ClientContext second;
  SetDeadline(second);
  EXPECT_EQ(nodes->CordonNode(&second, request, &node).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(NodeServicesTest, AMaintenanceWindowDrainsTheNodeAndIsKept) {
  FakeWorker worker(server->worker_address());
  worker.Hello("node-a", 1);
  ASSERT_TRUE(worker.ReadDesired(0));
  Submit("job", 1);
  ASSERT_TRUE(worker.ReadDesired(1));
  worker.Report(v1::RANK_PHASE_TRAINING);
  worker.FromRank(0, StepOf(1));
  const absl::Time now = clock.Now();
  v1::Node node;
  const grpc::Status set =
      SetMaintenance("node-a", now + absl::Seconds(5), now + absl::Hours(1), node);
  ASSERT_TRUE(set.ok()) << set.error_message();
  ASSERT_EQ(node.maintenance_size(), 1);
  EXPECT_EQ(node.maintenance(0).reason(), "new fans");
  // It begins within two minutes: ranks save and stop now.
  EXPECT_TRUE(worker.ReadUntil([](const v1::CoordinatorMessage& message) {
    return message.has_desired() && message.desired().gangs_size() == 1 &&
           message.desired().gangs(0).drain().reason() == "MAINTENANCE";
  }));
}

TEST_F(NodeServicesTest, AWindowThatIsOverOrEndsBeforeItStartsIsRefused) {
  FakeWorker worker(server->worker_address());
  worker.Hello("node-a", 1);
  ASSERT_TRUE(worker.ReadDesired(0));
  const absl::Time now = clock.Now();
  v1::Node node;
  EXPECT_EQ(SetMaintenance("node-a", now + absl::Hours(2), now + absl::Hours(1), node).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(SetMaintenance("node-a", now - absl::Hours(2), now - absl::Hours(1), node).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(SetMaintenance("nobody", now, now + absl::Hours(1), node).error_code(),
            grpc::StatusCode::NOT_FOUND);
}

TEST_F(NodeServicesTest, QueuesSayWhatTheyMayUseAndDo) {
  FakeWorker worker(server->worker_address());
  worker.Hello("node-a", 2);
  ASSERT_TRUE(worker.ReadDesired(0));
  for (int i = 0; i < 2; ++i) {
    v1::CreateJobRequest request = RequestFor("job", 2);
    request.mutable_spec()->set_queue("research");
    v1::Job job;
    const grpc::Status made = Create(request, job);
    ASSERT_TRUE(made.ok()) << made.error_message();
  }
  ASSERT_TRUE(worker.ReadDesired(1));
  const std::map<std::string, v1::Queue> seen = Queues();
  ASSERT_EQ(seen.size(), 2);
  const v1::Queue& research = seen.at("queues/research");
  EXPECT_EQ(research.nominal(), 1);
  EXPECT_EQ(research.backend(), "own");
  EXPECT_EQ(research.borrowing_limit(), 4);
  EXPECT_FALSE(research.has_limit());
  EXPECT_EQ(research.weight(), 2);
  EXPECT_EQ(research.used(), 2);
  EXPECT_EQ(research.waiting_jobs(), 1);
  EXPECT_EQ(seen.at("queues/default").used(), 0);
  EXPECT_FALSE(seen.at("queues/default").has_nominal());
}

TEST_F(NodeServicesTest, AWorkerThatSaysNothingIsSentAway) {
  hello_deadline = absl::ZeroDuration();
  StartServer();
  FakeWorker silent(server->worker_address());
  const grpc::Status end = silent.WaitForEnd();
  EXPECT_EQ(end.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_THAT(end.error_message(), HasSubstr("no hello"));
}

}  // namespace
}  // namespace ijepa::coordinator
