// A followed job on a terminal, in a pipe and for programs.
#include "client/follow_view.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/match.h"
#include "tests/client/sample_job.h"

namespace ijepa::client {
namespace {

using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

const absl::Time kNow = absl::FromUnixSeconds(kSampleTime + 120);

struct Sink {
  std::string text;
  Writer writer() {
    return [this](absl::string_view more) { text.append(more.data(), more.size()); };
  }
  // What was written since the last call.
  std::string Take() { return std::exchange(text, std::string()); }
};

TEST(LineViewTest, WritesStateChangesAtOnceAndFiguresAtIntervals) {
  Sink sink;
  auto view = NewLineView(Terminal(), absl::Seconds(5), sink.writer());
  v1::Job queued = SampleJob("demo-1", v1::JOB_STATE_QUEUED, 0);
  queued.mutable_status()->mutable_reason()->set_code("WAITING_FOR_SLOTS");
  queued.mutable_status()->mutable_reason()->set_message("needs 2 slots, 1 is free");
  view->Update(queued, kNow);
  EXPECT_THAT(sink.Take(),
              HasSubstr("demo-1 QUEUED  WAITING_FOR_SLOTS: needs 2 slots, 1 is free\n"));
  view->Update(SampleJob("demo-1", v1::JOB_STATE_RUNNING, 100), kNow);
  std::string text = sink.Take();
  EXPECT_THAT(text, HasSubstr("demo-1 RUNNING\n"));
  EXPECT_THAT(text, HasSubstr("demo-1 step 100/1,000  epoch 1.00  10.0 %  loss 0.2  "));
  EXPECT_THAT(text, HasSubstr("ETA 1m 30s\n"));
  view->Update(SampleJob("demo-1", v1::JOB_STATE_RUNNING, 101), kNow + absl::Seconds(4));
  EXPECT_EQ(sink.Take(), "");
  view->Update(SampleJob("demo-1", v1::JOB_STATE_RUNNING, 102), kNow + absl::Seconds(5));
  EXPECT_THAT(sink.Take(), HasSubstr("step 102/1,000"));
}

TEST(LineViewTest, WritesEachEventOnce) {
  Sink sink;
  auto view = NewLineView(Terminal(), absl::Seconds(5), sink.writer());
  v1::Job job = SampleJob("demo-1", v1::JOB_STATE_RUNNING, 100);
  *job.mutable_status()->add_events() = SampleEvent(1, "STARTED", "2 ranks");
  view->Update(job, kNow);
  EXPECT_THAT(sink.Take(), HasSubstr("STARTED: 2 ranks\n"));
  *job.mutable_status()->add_events() = SampleEvent(2, "CHECKPOINT_COMMITTED", "step 100");
  view->Update(job, kNow);
  std::string text = sink.Take();
  EXPECT_THAT(text, HasSubstr("CHECKPOINT_COMMITTED: step 100\n"));
  EXPECT_THAT(text, Not(HasSubstr("STARTED")));
}

TEST(LineViewTest, EndsWithTheLastStepAndWhatWasLearnt) {
  Sink sink;
  auto view = NewLineView(Terminal(), absl::Seconds(5), sink.writer());
  view->Update(SampleJob("demo-1", v1::JOB_STATE_RUNNING, 990), kNow);
  v1::Job job = SampleJob("demo-1", v1::JOB_STATE_SUCCEEDED, 1000);
  AddProbes(&job);
  *job.mutable_status()->mutable_latest_checkpoint() = SampleCheckpoint(1000);
  job.mutable_status()->mutable_end_time()->set_seconds(kSampleTime + 160);
  view->Update(job, kNow);
  view->Finish(job, kNow);
  std::string text = sink.Take();
  EXPECT_THAT(text, HasSubstr("step 1,000/1,000"));
  EXPECT_THAT(text,
              HasSubstr("demo-1 SUCCEEDED after 1m 40s, 1,000 steps, 64,000 images, restarts 0"));
  EXPECT_THAT(text, HasSubstr("checkpoint: /checkpoints/demo-1/1000-1 (step 1000, 12.3 MiB)\n"));
  EXPECT_THAT(text, HasSubstr("what it learnt:\n  LABEL"));
}

TEST(LineViewTest, EndsAFailedJobWithTheReasonAndTheAttempts) {
  v1::Job job = SampleJob("demo-1", v1::JOB_STATE_FAILED, 420);
  AddAttempts(&job);
  job.mutable_status()->mutable_reason()->set_code("RANK_FAILED");
  job.mutable_status()->mutable_reason()->set_message("restart budget of 1 is spent");
  std::string text = EndSummary(job, kNow, Terminal());
  EXPECT_THAT(text, HasSubstr("reason: RANK_FAILED: restart budget of 1 is spent\n"));
  EXPECT_THAT(text, HasSubstr("signal 9: killed from outside"));
}

TEST(LiveViewTest, RedrawsItsBlockInPlaceWithinTheWidth) {
  Terminal terminal;
  terminal.tty = true;
  terminal.width = 60;
  Sink sink;
  auto view = NewLiveView(terminal, sink.writer());
  view->Update(SampleJob("demo-1", v1::JOB_STATE_RUNNING, 500), kNow);
  std::string first = sink.Take();
  EXPECT_THAT(first, Not(HasSubstr("\x1b[")));
  EXPECT_THAT(first, HasSubstr("50.0 %  step 500/1,000"));
  EXPECT_THAT(first, HasSubstr("\xE2\xA0")) << "the loss curve is drawn in braille";
  size_t start = 0;
  int lines = 0;
  for (size_t end; (end = first.find('\n', start)) != std::string::npos; start = end + 1) {
    EXPECT_LE(DisplayWidth(first.substr(start, end - start)), 60);
    ++lines;
  }
  view->Update(SampleJob("demo-1", v1::JOB_STATE_RUNNING, 510), kNow + absl::Seconds(1));
  // One of the lines was the change of state, which stays.
  EXPECT_THAT(sink.Take(), StartsWith(absl::StrCat("\x1b[", lines - 1, "A\x1b[0J")));
}

TEST(LiveViewTest, DrawsAtMostTenTimesASecondButEveryChangeOfState) {
  Terminal terminal;
  terminal.tty = true;
  terminal.width = 80;
  Sink sink;
  auto view = NewLiveView(terminal, sink.writer());
  view->Update(SampleJob("demo-1", v1::JOB_STATE_RUNNING, 500), kNow);
  sink.Take();
  view->Update(SampleJob("demo-1", v1::JOB_STATE_RUNNING, 501), kNow + absl::Milliseconds(50));
  EXPECT_EQ(sink.Take(), "");
  view->Update(SampleJob("demo-1", v1::JOB_STATE_RECOVERING, 501), kNow + absl::Milliseconds(60));
  EXPECT_THAT(sink.Take(), HasSubstr("RECOVERING"));
}

TEST(MessageViewTest, WritesOneJsonLinePerUpdate) {
  Sink sink;
  auto view = NewMessageView(OutputFormat::kJson, sink.writer());
  view->Update(SampleJob("demo-1", v1::JOB_STATE_RUNNING, 1), kNow);
  view->Update(SampleJob("demo-1", v1::JOB_STATE_RUNNING, 2), kNow);
  std::string text = sink.Take();
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 2);
  EXPECT_THAT(text, StartsWith("{\"name\":\"projects/default/jobs/demo-1\""));
}

}  // namespace
}  // namespace ijepa::client
