// The whole coordinator over loopback gRPC, with a fake worker.
#include <gmock/gmock.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <future>
#include <limits>

#include "absl/strings/match.h"
#include "coordinator/store/sqlite_store.h"
#include "fake_worker.h"
#include "services_fixture.h"

namespace ijepa::coordinator {
namespace {

using ::absl::StrContains;

TEST_F(ServicesTest, AJobRunsFromSubmitToSuccess) {
  FakeWorker worker(server->worker_address());
  worker.Hello("node-a", 2);
  ASSERT_TRUE(worker.ReadDesired(0));
  const std::string name = Submit("job", 2);
  EXPECT_TRUE(StrContains(name, "projects/default/jobs/job-")) << name;
  std::future<std::vector<v1::JobState>> states =
      std::async(std::launch::async, [&] { return Watch(name); });
  ASSERT_TRUE(worker.ReadDesired(1));
  EXPECT_EQ(worker.desired().gangs(0).launch().spec().shards(), 2) << "defaults are resolved";
  worker.Report(v1::RANK_PHASE_TRAINING);
  for (int rank : {0, 1}) worker.FromRank(rank, StepOf(1));
  ASSERT_TRUE(worker.OfferCheckpoint(1, "/c/1"));
  EXPECT_TRUE(worker.last().rank().message().commit().committed());
  EXPECT_EQ(Get(name).status().state(), v1::JOB_STATE_RUNNING);
  worker.Report(v1::RANK_PHASE_EXITED);
  ASSERT_TRUE(worker.ReadDesired(0));
  const std::vector<v1::JobState> seen = states.get();
  EXPECT_EQ(seen.back(), v1::JOB_STATE_SUCCEEDED);
  EXPECT_EQ(Get(name).status().latest_checkpoint().path(), "/c/1");
}

TEST_F(ServicesTest, TheSameRequestIdGivesTheSameJob) {
  v1::CreateJobRequest request = RequestFor("job", 1);
  request.set_request_id("0d4c9a2e-0000-4000-8000-000000000000");
  request.set_queue_anyway(true);
  v1::Job first;
  v1::Job second;
  ASSERT_TRUE(Create(request, first).ok());
  StartServer();
  ASSERT_TRUE(Create(request, second).ok());
  EXPECT_EQ(first.name(), second.name());
  request.mutable_spec()->set_priority(5);
  EXPECT_EQ(Create(request, second).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(ServicesTest, RefusesWhatCannotBeRunAndSaysWhy) {
  v1::Job job;
  v1::CreateJobRequest request = RequestFor("job", 1);
  request.mutable_spec()->mutable_data()->set_batch_size(-8);
  grpc::Status status = Create(request, job);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_TRUE(StrContains(status.error_message(), "data.batch_size")) << status.error_message();
  status = Create(RequestFor("job", 3), job);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_TRUE(StrContains(status.error_message(), "3 slots")) << status.error_message();
  grpc::ClientContext context;
  SetDeadline(context);
  v1::GetJobRequest get;
  get.set_name("nobody");
  EXPECT_EQ(jobs->GetJob(&context, get, &job).error_code(), grpc::StatusCode::NOT_FOUND);
}

TEST_F(ServicesTest, BoundsWhatARequestMayHold) {
  v1::Job job;
  v1::CreateJobRequest request = RequestFor("job", 1);
  request.set_request_id(std::string(129, 'r'));
  grpc::Status status = Create(request, job);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_TRUE(StrContains(status.error_message(), "request_id is longer than 128"));
  request.clear_request_id();
  request.mutable_spec()->mutable_data()->set_path(std::string(256 * 1024, 'p'));
  status = Create(request, job);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_TRUE(StrContains(status.error_message(), "at most 262144")) << status.error_message();
  request.mutable_spec()->mutable_data()->set_path(std::string(4 << 20, 'p'));
  EXPECT_EQ(Create(request, job).error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
}

TEST_F(ServicesTest, ListsPagesNewestFirstAndRefusesForeignTokens) {
  std::vector<std::string> names;
  for (int i = 0; i < 5; ++i) names.push_back(Submit("job" + std::to_string(i), 1));
  v1::ListJobsRequest request;
  request.set_page_size(2);
  std::vector<std::string> listed;
  v1::ListJobsResponse response;
  do {
    grpc::ClientContext context;
    SetDeadline(context);
    ASSERT_TRUE(jobs->ListJobs(&context, request, &response).ok());
    for (const v1::Job& job : response.jobs()) listed.push_back(job.name());
    request.set_page_token(response.next_page_token());
    if (listed.size() == 2) {
      grpc::ClientContext other;
      SetDeadline(other);
      v1::ListJobsRequest changed = request;
      changed.add_states(v1::JOB_STATE_QUEUED);
      EXPECT_EQ(jobs->ListJobs(&other, changed, &response).error_code(),
                grpc::StatusCode::INVALID_ARGUMENT);
    }
  } while (!request.page_token().empty());
  std::reverse(names.begin(), names.end());
  EXPECT_EQ(listed, names);
}

TEST_F(ServicesTest, ListsOldestFirstWhereThatIsAskedForAndBoundsItsPages) {
  std::vector<std::string> names;
  for (int i = 0; i < 3; ++i) names.push_back(Submit("job" + std::to_string(i), 1));
  v1::ListJobsResponse response;
  const auto list = [&](const v1::ListJobsRequest& request) {
    grpc::ClientContext context;
    SetDeadline(context);
    return jobs->ListJobs(&context, request, &response).error_code();
  };
  v1::ListJobsRequest request;
  request.set_page_size(2);
  request.set_order_by("number");
  ASSERT_EQ(list(request), grpc::StatusCode::OK);
  ASSERT_EQ(response.jobs_size(), 2);
  EXPECT_EQ(response.jobs(0).name(), names[0]);
  EXPECT_EQ(response.jobs(1).name(), names[1]);
  request.set_page_token(response.next_page_token());
  request.set_order_by("number desc");
  EXPECT_EQ(list(request), grpc::StatusCode::INVALID_ARGUMENT) << "a token of another order";
  request.set_order_by("number");
  ASSERT_EQ(list(request), grpc::StatusCode::OK);
  ASSERT_EQ(response.jobs_size(), 1);
  EXPECT_EQ(response.jobs(0).name(), names[2]);
  EXPECT_EQ(response.next_page_token(), "");
  for (const int size : {-1, 1001}) {
    request.set_page_size(size);
    EXPECT_EQ(list(request), grpc::StatusCode::INVALID_ARGUMENT) << size;
  }
  request.set_page_size(1000);
  request.set_page_token("!");
  EXPECT_EQ(list(request), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(ServicesTest, LogsAreStoredOnceFollowedAndEndWithTheJob) {
  FakeWorker worker(server->worker_address());
  worker.Hello("node-a", 1);
  ASSERT_TRUE(worker.ReadDesired(0));
  v1::ReadLogsRequest request;
  request.set_job(Submit("job", 1));
  request.set_follow(true);
  ASSERT_TRUE(worker.ReadDesired(1));
  std::future<std::vector<std::string>> lines =
      std::async(std::launch::async, [&] { return ReadLogs(request); });
  const auto acknowledged = [](int64_t offset) {
    return [offset](const v1::CoordinatorMessage& message) {
      return message.has_log_ack() && message.log_ack().offset() == offset;
    };
  };
  worker.Log(0, 0, "one\ntw");
  ASSERT_TRUE(worker.ReadUntil(acknowledged(6)));
  worker.Log(0, 0, "one\ntw");
  worker.Log(0, 6, "o\nend");
  ASSERT_TRUE(worker.ReadUntil(acknowledged(11)));
  worker.Report(v1::RANK_PHASE_EXITED);
  ASSERT_TRUE(worker.ReadDesired(0));
  EXPECT_EQ(lines.get(), (std::vector<std::string>{"one", "two", "end"}));
  request.set_follow(false);
  request.set_tail_lines(1);
  EXPECT_EQ(ReadLogs(request), std::vector<std::string>{"end"});
}

TEST_F(ServicesTest, LogsOfRanksThatTheNodeDidNotRunAreDropped) {
  FakeWorker worker(server->worker_address());
  worker.Hello("node-a", 1);
  ASSERT_TRUE(worker.ReadDesired(0));
  const std::string name = Submit("job", 1);
  ASSERT_TRUE(worker.ReadDesired(1));
  worker.Log(7, 0, "not mine\n");
  ASSERT_TRUE(worker.ReadUntil(
      [](const v1::CoordinatorMessage& message) { return message.has_log_ack(); }));
  EXPECT_EQ(worker.last().log_ack().offset(), 9);
  v1::ReadLogsRequest request;
  request.set_job(name);
  EXPECT_TRUE(ReadLogs(request).empty());
}

TEST_F(ServicesTest, AWorkerWhoseLogsLieNowhereLosesItsStream) {
  FakeWorker worker(server->worker_address());
  worker.Hello("node-a", 1);
  ASSERT_TRUE(worker.ReadDesired(0));
  worker.Log(0, std::numeric_limits<int64_t>::max(), "more");
  EXPECT_EQ(worker.WaitForEnd().error_code(), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(ServicesTest, ANewerStreamOfANodeReplacesTheOlder) {
  FakeWorker older(server->worker_address());
  older.Hello("node-a", 1);
  ASSERT_TRUE(older.ReadDesired(0));
  FakeWorker newer(server->worker_address());
  newer.Hello("node-a", 1);
  ASSERT_TRUE(newer.ReadDesired(0));
  EXPECT_EQ(older.WaitForEnd().error_code(), grpc::StatusCode::ABORTED);
}

TEST_F(ServicesTest, AStreamMustBeginWithHello) {
  FakeWorker worker(server->worker_address());
  worker.Report(v1::RANK_PHASE_TRAINING);
  EXPECT_EQ(worker.WaitForEnd().error_code(), grpc::StatusCode::FAILED_PRECONDITION);
}

TEST_F(ServicesTest, ARestartedCoordinatorGoesOnWhereItWas) {
  std::string name;
  v1::DesiredState before;
  {
    FakeWorker worker(server->worker_address());
    worker.Hello("node-a", 1);
    ASSERT_TRUE(worker.ReadDesired(0));
    name = Submit("job", 1);
    ASSERT_TRUE(worker.ReadDesired(1));
    before = worker.desired();
    worker.Report(v1::RANK_PHASE_TRAINING);
    worker.FromRank(0, StepOf(1));
    // The next answer says that what came before it is dealt with.
    v1::FromRank note;
    note.set_sequence(1);
    note.mutable_note()->set_code("NOTE");
    worker.FromRank(0, note);
    ASSERT_TRUE(
        worker.ReadUntil([](const v1::CoordinatorMessage& message) { return message.has_rank(); }));
  }
  StartServer();
  FakeWorker worker(server->worker_address());
  worker.Hello("node-a", 1);
  ASSERT_TRUE(worker.ReadDesired(1));
  EXPECT_EQ(worker.desired().gangs(0).generation(), before.gangs(0).generation());
  EXPECT_GT(worker.desired().revision(), before.revision());
  EXPECT_EQ(worker.last().coordinator_epoch(), 2);
  EXPECT_EQ(Get(name).status().state(), v1::JOB_STATE_RUNNING);
}

TEST_F(ServicesTest, CancelIsSeenByTheWorkerAsADrain) {
  FakeWorker worker(server->worker_address());
  worker.Hello("node-a", 1);
  ASSERT_TRUE(worker.ReadDesired(0));
  const std::string name = Submit("job", 1);
  ASSERT_TRUE(worker.ReadDesired(1));
  worker.Report(v1::RANK_PHASE_TRAINING);
  worker.FromRank(0, StepOf(1));
  ASSERT_EQ(Watch(name, v1::JOB_STATE_RUNNING).back(), v1::JOB_STATE_RUNNING);
  EXPECT_EQ(Cancel(name).status().state(), v1::JOB_STATE_CANCELLING);
  ASSERT_TRUE(worker.ReadUntil([](const v1::CoordinatorMessage& message) {
    return message.has_desired() && message.desired().gangs_size() == 1 &&
           message.desired().gangs(0).has_drain();
  }));
  worker.Report(v1::RANK_PHASE_EXITED, v1::RANK_OUTCOME_DRAINED);
  EXPECT_EQ(Watch(name).back(), v1::JOB_STATE_CANCELLED);
}

TEST_F(ServicesTest, ServesHealth) {
  grpc::GenericStub stub(channel);
  grpc::ClientContext context;
  SetDeadline(context);
  grpc::CompletionQueue queue;
  // HealthCheckRequest{}: no bytes, but a message.
  const grpc::Slice nothing("");
  const grpc::ByteBuffer request(&nothing, 1);
  auto call = stub.PrepareUnaryCall(&context, "/grpc.health.v1.Health/Check", request, &queue);
  call->StartCall();
  grpc::ByteBuffer response;
  grpc::Status status;
  call->Finish(&response, &status, nullptr);
  void* tag = nullptr;
  bool ok = false;
  ASSERT_TRUE(queue.Next(&tag, &ok));
  ASSERT_TRUE(status.ok()) << status.error_message();
  grpc::Slice slice;
  ASSERT_TRUE(response.DumpToSingleSlice(&slice).ok());
  // HealthCheckResponse{status: SERVING}.
  EXPECT_EQ(std::string(slice.begin(), slice.end()), std::string("\x08\x01", 2));
}

TEST_F(ServicesTest, ServesReflection) {
  grpc::GenericStub stub(channel);
  grpc::ClientContext context;
  SetDeadline(context);
  grpc::CompletionQueue queue;
  const auto wait = [&queue] {
    void* tag = nullptr;
    bool ok = false;
    return queue.Next(&tag, &ok) && ok;
  };
  auto call = stub.PrepareCall(
      &context, "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", &queue);
  call->StartCall(nullptr);
  ASSERT_TRUE(wait());
  // ServerReflectionRequest{list_services: ""}.
  const grpc::Slice list(std::string("\x3a\x00", 2));
  call->Write(grpc::ByteBuffer(&list, 1), nullptr);
  ASSERT_TRUE(wait());
  grpc::ByteBuffer response;
  call->Read(&response, nullptr);
  ASSERT_TRUE(wait());
  grpc::Slice slice;
  ASSERT_TRUE(response.DumpToSingleSlice(&slice).ok());
  const std::string services(slice.begin(), slice.end());
  for (const char* name : {"ijepa.v1.JobService", "ijepa.v1.LogService", "grpc.health.v1.Health"}) {
    EXPECT_TRUE(StrContains(services, name)) << name;
  }
  context.TryCancel();
  grpc::Status status;
  call->Finish(&status, nullptr);
  wait();
}

TEST_F(ServicesTest, TellsItsAddressesAndEpoch) {
  metrics_listen = "127.0.0.1:0";
  StartServer();
  const absl::StatusOr<std::string> text = ReadFile(folder.path() + "/addresses.json");
  ASSERT_TRUE(text.ok());
  EXPECT_TRUE(StrContains(*text, server->client_address()));
  EXPECT_TRUE(StrContains(*text, server->worker_address()));
  EXPECT_TRUE(StrContains(*text, server->metrics_address()));
  auto stub = v1::SystemService::NewStub(channel);
  grpc::ClientContext context;
  SetDeadline(context);
  v1::ServerInfo info;
  ASSERT_TRUE(stub->GetServerInfo(&context, {}, &info).ok());
  EXPECT_EQ(info.coordinator_epoch(), 2);
}

TEST_F(ServicesTest, SaysWhichPortIsTakenAndWhoHoldsTheFolder) {
  TemporaryFolder other;
  Settings settings = MakeSettings();
  settings.data_dir = other.path();
  settings.listen = server->client_address();
  const absl::Status port = Server::Start(settings, Clock::Real()).status();
  EXPECT_EQ(port.code(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(StrContains(port.message(), server->client_address())) << port;
  EXPECT_EQ(Server::Start(MakeSettings(), Clock::Real()).status().code(),
            absl::StatusCode::kFailedPrecondition);
}

TEST_F(ServicesTest, ABackendsWorkersMustBeToldAnAddressThatTheyCanReach) {
  TemporaryFolder other;
  Settings settings = MakeSettings();
  settings.data_dir = other.path();
  settings.backends["slurm"];
  for (const std::string nowhere : {"127.0.0.1:0", "0.0.0.0:7441", "[::]:7441"}) {
    settings.worker_listen = nowhere;
    const absl::Status status = Server::Start(settings, Clock::Real()).status();
    EXPECT_TRUE(StrContains(status.message(), "worker_listen " + nowhere + "; set the first"))
        << status;
  }
}

TEST_F(ServicesTest, AnswersTheReleaseOfANodeWithTheNode) {
  FakeWorker worker(server->worker_address());
  worker.Hello("node-a", 2);
  ASSERT_TRUE(worker.ReadDesired(0));
  const auto nodes = v1::NodeService::NewStub(channel);
  const auto release = [&](const std::string& name, v1::Node& node) {
    grpc::ClientContext context;
    SetDeadline(context);
    v1::ReleaseNodeRequest request;
    request.set_name(name);
    return nodes->ReleaseNode(&context, request, &node);
  };
  v1::Node node;
  EXPECT_TRUE(release("nodes/node-a", node).ok());
  EXPECT_EQ(node.name(), "nodes/node-a");
  EXPECT_EQ(release("nodes/node-b", node).error_code(), grpc::StatusCode::NOT_FOUND);
}

TEST_F(ServicesTest, RefusesToPinWhatIsNotCommitted) {
  const std::string job = Submit("pinned", 1);
  const auto checkpoints = v1::CheckpointService::NewStub(channel);
  grpc::ClientContext context;
  SetDeadline(context);
  v1::PinCheckpointRequest request;
  request.set_name(job + "/checkpoints/10");
  v1::Job answer;
  const grpc::Status status = checkpoints->PinCheckpoint(&context, request, &answer);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_THAT(status.error_message(), ::testing::HasSubstr(request.name()));
}

TEST_F(ServicesTest, NodesAreListedWithTheirSlots) {
  FakeWorker worker(server->worker_address());
  worker.Hello("node-a", 3);
  ASSERT_TRUE(worker.ReadDesired(0));
  Submit("job", 2);
  ASSERT_TRUE(worker.ReadDesired(1));
  auto stub = v1::NodeService::NewStub(channel);
  grpc::ClientContext context;
  SetDeadline(context);
  v1::ListNodesResponse response;
  ASSERT_TRUE(stub->ListNodes(&context, {}, &response).ok());
  ASSERT_EQ(response.nodes_size(), 1);
  EXPECT_EQ(response.nodes(0).name(), "nodes/node-a");
  EXPECT_EQ(response.nodes(0).slots_used(), 2);
  EXPECT_EQ(response.nodes(0).state(), v1::NODE_STATE_READY);
}

}  // namespace
}  // namespace ijepa::coordinator
