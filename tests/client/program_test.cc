// ijepactl as people run it, against a fake coordinator: data, talk and exit codes.
#include "tests/client/program.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/client/sample_job.h"
#include "tests/fakes/fake_coordinator.h"

namespace ijepa::client {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Le;
using testing::Not;
using testing::SizeIs;

class ProgramTest : public testing::Test {
 protected:
  Output Run(const std::vector<std::string>& arguments) {
    return RunProgram(arguments, {.coordinator = fake_.address()});
  }
  FakeCoordinator fake_;
};

TEST_F(ProgramTest, ListsJobsAsATable) {
  fake_.AddJob(SampleJob("demo-2", v1::JOB_STATE_RUNNING, 500));
  fake_.AddJob(SampleJob("demo-1", v1::JOB_STATE_SUCCEEDED, 1000));
  Output output = Run({"list"});
  EXPECT_EQ(output.code, 0);
  EXPECT_EQ(output.err, "");
  std::vector<std::string> lines = Lines(output.out);
  ASSERT_THAT(lines, SizeIs(3));
  EXPECT_THAT(lines[0], testing::StartsWith("JOB     STATE"));
  EXPECT_THAT(lines[1], AllOf(HasSubstr("demo-2  RUNNING"), HasSubstr("50.0 %   500/1000")));
  EXPECT_THAT(lines[2], HasSubstr("demo-1  SUCCEEDED"));
}

TEST_F(ProgramTest, ListsOverSeveralPagesUpToTheLimit) {
  fake_.set_page_limit(2);
  for (int i = 0; i < 7; ++i) {
    fake_.AddJob(SampleJob("demo-" + std::to_string(i), v1::JOB_STATE_QUEUED, 0));
  }
  EXPECT_THAT(Lines(Run({"list"}).out), SizeIs(8));
  Output output = Run({"list", "--limit", "3"});
  EXPECT_THAT(Lines(output.out), SizeIs(4));
  EXPECT_THAT(output.err, HasSubstr("--limit"));
}

TEST_F(ProgramTest, SaysOnStderrThatThereAreNoJobs) {
  Output output = Run({"list"});
  EXPECT_EQ(output.code, 0);
  EXPECT_EQ(output.out, "");
  EXPECT_EQ(output.err, "no jobs\n");
}

TEST_F(ProgramTest, PrintsTheApiMessageAsJsonAndYaml) {
  fake_.AddJob(SampleJob("demo-1", v1::JOB_STATE_RUNNING, 500));
  Output json = Run({"describe", "demo-1", "-o", "json"});
  EXPECT_EQ(json.code, 0);
  EXPECT_THAT(json.out, HasSubstr("\"submitTime\": \"2026-01-02T03:04:05Z\""));
  Output yaml = Run({"-o", "yaml", "describe", "demo-1"});
  EXPECT_THAT(yaml.out, AllOf(HasSubstr("name: projects/default/jobs/demo-1\n"),
                              HasSubstr("  submitTime: \"2026-01-02T03:04:05Z\"\n")));
}

TEST_F(ProgramTest, DescribesAllThatIsKnown) {
  v1::Job job = SampleJob("demo-1", v1::JOB_STATE_RUNNING, 600);
  AddAttempts(&job);
  AddProbes(&job);
  *job.mutable_status()->add_events() = SampleEvent(1, "STARTED", "2 ranks");
  fake_.AddJob(job);
  fake_.AddCheckpoint(SampleCheckpoint(500));
  Output output = Run({"describe", "demo-1"});
  EXPECT_EQ(output.code, 0) << output.err;
  for (const char* part :
       {"State       RUNNING", "Progress\n", "Loss\n", "Attempts\n", "CRASH rank 1", "Probes\n",
        "DISJOINT", "Probes over time\n", "Checkpoints\n", "/checkpoints/demo-1/500-1", "Events\n",
        "STARTED", "Spec, where it is not the default\n", "ETA 40s"}) {
    EXPECT_THAT(output.out, HasSubstr(part));
  }
}

TEST_F(ProgramTest, ListsNodesAndCheckpoints) {
  EXPECT_THAT(Run({"nodes"}).err, HasSubstr("no nodes"));
  v1::Node node;
  node.set_name("nodes/node-a");
  node.set_state(v1::NODE_STATE_READY);
  node.mutable_info()->set_slots(2);
  fake_.AddNode(node);
  EXPECT_THAT(Run({"nodes"}).out, HasSubstr("node-a  READY     0      2  cpu"));
  EXPECT_THAT(Run({"nodes", "-o", "json"}).out, HasSubstr("NODE_STATE_READY"));
  v1::BackendNodes backend;
  backend.set_backend("slurm");
  backend.set_error("no controller");
  v1::BackendNode& machine = *backend.add_nodes();
  machine.set_name("gpu7");
  machine.set_state("drained");
  machine.set_reason("disk");
  fake_.AddBackend(backend);
  EXPECT_THAT(Run({"nodes"}).err, HasSubstr("slurm: no controller"));
  EXPECT_THAT(Run({"nodes"}).out, HasSubstr("slurm    gpu7  drained  no"));
  fake_.AddJob(SampleJob("demo-1", v1::JOB_STATE_RUNNING, 600));
  EXPECT_THAT(Run({"checkpoints", "demo-1"}).err, HasSubstr("no checkpoint yet"));
  fake_.AddCheckpoint(SampleCheckpoint(500));
  EXPECT_THAT(Run({"checkpoints", "demo-1"}).out,
              AllOf(HasSubstr("32,000"), HasSubstr("12.3 MiB"), HasSubstr("/checkpoints/demo-1")));
}

TEST_F(ProgramTest, CancelsWithARequestId) {
  fake_.AddJob(SampleJob("demo-1", v1::JOB_STATE_RUNNING, 600));
  Output output = Run({"cancel", "demo-1"});
  EXPECT_EQ(output.code, 0);
  EXPECT_EQ(output.out, "demo-1  CANCELLING\n");
  ASSERT_THAT(fake_.cancels(), SizeIs(1));
  EXPECT_NE(fake_.cancels()[0].request_id(), "");
}

TEST_F(ProgramTest, ShowsBothVersionsAndWorksWithoutACoordinator) {
  EXPECT_THAT(Run({"version"}).out, HasSubstr("coordinator  9.8.7"));
  EXPECT_THAT(Run({"version", "-o", "json"}).out, HasSubstr("\"server\":{\"version\":\"9.8.7\""));
  Output alone = RunProgram({"version"}, {.coordinator = "127.0.0.1:1"});
  EXPECT_EQ(alone.code, 0);
  EXPECT_THAT(alone.out, testing::StartsWith("ijepactl"));
  EXPECT_THAT(alone.err, HasSubstr("127.0.0.1:1 is unreachable"));
}

TEST_F(ProgramTest, AnUnknownJobIsCode3) {
  for (const char* command : {"describe", "watch", "logs", "cancel", "checkpoints"}) {
    Output output = Run({command, "nothing"});
    EXPECT_EQ(output.code, 3) << command;
    EXPECT_EQ(output.out, "");
    EXPECT_THAT(output.err, AllOf(HasSubstr("nothing"), HasSubstr("ijepactl list")));
    EXPECT_THAT(Lines(output.err), SizeIs(Le(3)));
  }
}

TEST_F(ProgramTest, AnUnreachableCoordinatorIsCode6WithItsAddressAndHowToStartOne) {
  for (const char* command : {"list", "nodes", "watch demo-1", "logs demo-1"}) {
    std::string text(command);
    std::vector<std::string> words = {text.substr(0, text.find(' '))};
    if (text.find(' ') != std::string::npos) words.push_back("demo-1");
    Output output = RunProgram(words, {.coordinator = "127.0.0.1:1"});
    EXPECT_EQ(output.code, 6) << command;
    EXPECT_EQ(output.out, "");
    EXPECT_THAT(output.err,
                AllOf(HasSubstr("coordinator 127.0.0.1:1 is unreachable: Connection refused\n"),
                      HasSubstr("deploy/local.sh up")));
    EXPECT_THAT(Lines(output.err), SizeIs(Le(3)));
  }
}

TEST_F(ProgramTest, TheFlagNamesAnotherCoordinatorThanTheVariable) {
  fake_.AddJob(SampleJob("demo-1", v1::JOB_STATE_RUNNING, 600));
  Output output =
      RunProgram({"list", "--coordinator", fake_.address()}, {.coordinator = "127.0.0.1:1"});
  EXPECT_EQ(output.code, 0) << output.err;
}

TEST_F(ProgramTest, ErrorsOfTheCoordinatorHaveTheirCodes) {
  const std::pair<grpc::StatusCode, int> cases[] = {
      {grpc::StatusCode::PERMISSION_DENIED, 4},
      {grpc::StatusCode::UNAUTHENTICATED, 4},
      {grpc::StatusCode::FAILED_PRECONDITION, 5},
      {grpc::StatusCode::ABORTED, 5},
      {grpc::StatusCode::RESOURCE_EXHAUSTED, 5},
      {grpc::StatusCode::DEADLINE_EXCEEDED, 6},
      {grpc::StatusCode::INTERNAL, 1},
  };
  for (const auto& [status, code] : cases) {
    fake_.PushFailure({status, "the words of the coordinator"});
    Output output = Run({"list"});
    EXPECT_EQ(output.code, code) << status;
    EXPECT_THAT(output.err, HasSubstr("error: "));
  }
}

TEST_F(ProgramTest, AShortOutageIsNotSeen) {
  fake_.PushFailure({grpc::StatusCode::UNAVAILABLE, "starting"});
  fake_.PushFailure({grpc::StatusCode::UNAVAILABLE, "starting"});
  fake_.AddJob(SampleJob("demo-1", v1::JOB_STATE_RUNNING, 600));
  Output output = Run({"list"});
  EXPECT_EQ(output.code, 0);
  EXPECT_EQ(output.err, "");
}

TEST_F(ProgramTest, AWrongCommandLineIsCode2WithTheWayToHelp) {
  const std::vector<std::vector<std::string>> wrong = {
      {},
      {"frobnicate"},
      {"list", "--frobnicate"},
      {"describe"},
      {"list", "-o", "xml"},
      {"list", "--state", "sleeping"},
      {"logs", "demo-1", "--rank", "x"},
      {"watch", "demo-1", "--timeout", "soon"},
      {"list", "--limit", "0"},
      {"list", "--coordinator", "host-without-port"},
  };
  for (const auto& arguments : wrong) {
    Output output = Run(arguments);
    EXPECT_EQ(output.code, 2) << testing::PrintToString(arguments) << output.err;
    EXPECT_EQ(output.out, "");
    EXPECT_THAT(Lines(output.err), SizeIs(Le(3)));
  }
  EXPECT_THAT(Run({"list", "--frobnicate"}).err, HasSubstr("ijepactl list --help"));
}

TEST_F(ProgramTest, ColorsATerminalUnlessToldNotTo) {
  fake_.AddJob(SampleJob("demo-1", v1::JOB_STATE_RUNNING, 600));
  ProgramOptions options{.coordinator = fake_.address(), .terminal = true};
  EXPECT_THAT(RunProgram({"list"}, options).out, HasSubstr("\x1b[32mRUNNING\x1b[0m"));
  EXPECT_THAT(RunProgram({"list", "--no-color"}, options).out, Not(HasSubstr("\x1b")));
  options.environment = {"NO_COLOR=1"};
  EXPECT_THAT(RunProgram({"list"}, options).out, Not(HasSubstr("\x1b")));
  EXPECT_THAT(Run({"list"}).out, Not(HasSubstr("\x1b")));
}

}  // namespace
}  // namespace ijepa::client
