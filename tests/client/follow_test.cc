// watch and logs against a fake coordinator: ends, interrupts, outages.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include "tests/client/program.h"
#include "tests/client/sample_job.h"
#include "tests/fakes/fake_coordinator.h"

namespace ijepa::client {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::SizeIs;

const grpc::Status kGone(grpc::StatusCode::UNAVAILABLE, "Socket closed");

class FollowTest : public testing::Test {
 protected:
  FollowTest() { fake_.AddJob(SampleJob("demo-1", v1::JOB_STATE_RUNNING, 100)); }
  Output Run(const std::vector<std::string>& arguments) {
    return RunProgram(arguments, {.coordinator = fake_.address()});
  }
  FakeCoordinator fake_;
};

v1::LogLines SomeLines(int first, int count, int rank) {
  v1::LogLines lines;
  for (int i = first; i < first + count; ++i) {
    v1::LogLine* line = lines.add_lines();
    line->set_rank(rank);
    line->set_generation(1);
    line->set_text("line " + std::to_string(i));
    line->mutable_time()->set_seconds(kSampleTime + i);
  }
  return lines;
}

TEST_F(FollowTest, WatchEndsWithTheCodeOfTheJob) {
  const std::pair<v1::JobState, int> cases[] = {
      {v1::JOB_STATE_SUCCEEDED, 0}, {v1::JOB_STATE_FAILED, 8}, {v1::JOB_STATE_CANCELLED, 9}};
  for (const auto& [state, code] : cases) {
    fake_.PushWatch(
        {{SampleJob("demo-1", v1::JOB_STATE_RUNNING, 500), SampleJob("demo-1", state, 1000)},
         grpc::Status::OK});
    Output output = Run({"watch", "demo-1"});
    EXPECT_EQ(output.code, code);
    EXPECT_THAT(output.out, AllOf(HasSubstr("demo-1 RUNNING"), HasSubstr("1,000 steps")));
  }
}

TEST_F(FollowTest, CtrlCLetsGoOfTheJobAndSaysThatItGoesOn) {
  for (int signal : {SIGINT, SIGTERM}) {
    fake_.PushWatch({{SampleJob("demo-1", v1::JOB_STATE_RUNNING, 500)}, grpc::Status::OK, true});
    Program program({"watch", "demo-1"}, {.coordinator = fake_.address()});
    ASSERT_TRUE(fake_.WaitForHeldStream());
    program.Signal(signal);
    Output output = program.Wait();
    EXPECT_EQ(output.code, 130);
    EXPECT_THAT(output.err, HasSubstr("the job goes on"));
    EXPECT_TRUE(fake_.cancels().empty());
  }
}

TEST_F(FollowTest, CtrlCLetsGoOfLogsToo) {
  fake_.PushLogs({{SomeLines(0, 1, 0)}, grpc::Status::OK, true});
  Program program({"logs", "-f", "demo-1"}, {.coordinator = fake_.address()});
  ASSERT_TRUE(program.WaitForOutput("line 0"));
  program.Signal(SIGINT);
  Output output = program.Wait();
  EXPECT_EQ(output.code, 130);
  EXPECT_EQ(output.out, "[r0] line 0\n");
  EXPECT_THAT(output.err, HasSubstr("the job goes on"));
}

TEST_F(FollowTest, TimeoutIsCode124) {
  fake_.PushWatch({{SampleJob("demo-1", v1::JOB_STATE_RUNNING, 500)}, grpc::Status::OK, true});
  Output output = Run({"watch", "demo-1", "--timeout", "0.3"});
  EXPECT_EQ(output.code, 124);
  EXPECT_THAT(output.err, HasSubstr("--timeout"));
}

TEST_F(FollowTest, WatchOutlivesTheCoordinatorsAbsence) {
  fake_.PushWatch({{SampleJob("demo-1", v1::JOB_STATE_RUNNING, 500)}, kGone});
  fake_.PushWatch({{}, kGone});
  fake_.PushWatch({{SampleJob("demo-1", v1::JOB_STATE_SUCCEEDED, 1000)}, grpc::Status::OK});
  Output output = Run({"watch", "demo-1"});
  EXPECT_EQ(output.code, 0);
  EXPECT_THAT(output.out, HasSubstr("SUCCEEDED"));
  EXPECT_THAT(Lines(output.err), ElementsAre(HasSubstr("went away; the job goes on")));
}

TEST_F(FollowTest, WatchRedrawsOnATerminal) {
  fake_.PushWatch({{SampleJob("demo-1", v1::JOB_STATE_RUNNING, 500),
                    SampleJob("demo-1", v1::JOB_STATE_SUCCEEDED, 1000)},
                   grpc::Status::OK});
  Output output =
      RunProgram({"watch", "demo-1"}, {.coordinator = fake_.address(), .terminal = true});
  EXPECT_EQ(output.code, 0);
  EXPECT_THAT(output.out, AllOf(HasSubstr("A\x1b[0J"), HasSubstr("100.0 %")));
}

TEST_F(FollowTest, WatchWritesJsonLinesForPrograms) {
  fake_.PushWatch({{SampleJob("demo-1", v1::JOB_STATE_RUNNING, 500),
                    SampleJob("demo-1", v1::JOB_STATE_FAILED, 500)},
                   grpc::Status::OK});
  Output output = Run({"watch", "demo-1", "-o", "json"});
  EXPECT_EQ(output.code, 8);
  EXPECT_THAT(Lines(output.out),
              ElementsAre(HasSubstr("JOB_STATE_RUNNING"), HasSubstr("JOB_STATE_FAILED")));
}

TEST_F(FollowTest, LogsAsksForWhatWasAskedFor) {
  fake_.PushLogs({{SomeLines(0, 2, 3)}, grpc::Status::OK});
  Output output = Run({"logs", "demo-1", "--rank", "0,3-4", "--tail", "7", "--generation", "2"});
  EXPECT_EQ(output.code, 0) << output.err;
  EXPECT_EQ(output.out, "[r3] line 0\n[r3] line 1\n");
  ASSERT_THAT(fake_.log_reads(), SizeIs(1));
  const v1::ReadLogsRequest request = fake_.log_reads()[0];
  EXPECT_THAT(request.ranks(), ElementsAre(0, 3, 4));
  EXPECT_EQ(request.tail_lines(), 7);
  EXPECT_EQ(request.generation(), 2);
  EXPECT_FALSE(request.follow());
}

TEST_F(FollowTest, LogsOfOneRankHaveNoPrefix) {
  fake_.PushLogs({{SomeLines(0, 1, 1)}, grpc::Status::OK});
  EXPECT_EQ(Run({"logs", "demo-1", "--rank", "1"}).out, "line 0\n");
}

TEST_F(FollowTest, LogsNameTheGenerationWhenThereWereSeveral) {
  v1::Job job = SampleJob("demo-2", v1::JOB_STATE_RUNNING, 600);
  AddAttempts(&job);
  fake_.AddJob(job);
  fake_.PushLogs({{SomeLines(0, 1, 1)}, grpc::Status::OK});
  EXPECT_EQ(Run({"logs", "demo-2"}).out, "[r1 g1] line 0\n");
}

TEST_F(FollowTest, ABrokenLogStreamGoesOnWithNoLineLostOrRepeated) {
  fake_.PushLogs({{SomeLines(0, 3, 0)}, kGone});
  fake_.PushLogs({{SomeLines(0, 2, 0), SomeLines(2, 3, 0)}, grpc::Status::OK});
  Output output = Run({"logs", "-f", "demo-1", "--rank", "0"});
  EXPECT_EQ(output.code, 0) << output.err;
  EXPECT_EQ(output.out, "line 0\nline 1\nline 2\nline 3\nline 4\n");
}

TEST_F(FollowTest, LogsAsJsonAreOneLineEach) {
  fake_.PushLogs({{SomeLines(0, 2, 0)}, grpc::Status::OK});
  EXPECT_THAT(Lines(Run({"logs", "demo-1", "-o", "json"}).out),
              ElementsAre(HasSubstr("\"text\":\"line 0\""), HasSubstr("\"text\":\"line 1\"")));
}

}  // namespace
}  // namespace ijepa::client
