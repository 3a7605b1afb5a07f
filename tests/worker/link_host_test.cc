// LinkHost against a worker that the test plays, over a real socket.
#include "worker/rank/link_host.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <future>
#include <thread>

#include "common/file.h"
#include "worker/link/unix_socket.h"
#include "worker/rank/exit_record.h"

namespace ijepa::rank {
namespace {

constexpr absl::Duration kLong = absl::Seconds(60);

// Monotonic time that the test moves.
class FakeClock final : public Clock {
 public:
  absl::Time Now() override { return absl::UnixEpoch() + Monotonic(); }
  absl::Duration Monotonic() override { return absl::Milliseconds(milliseconds_.load()); }
  void Advance(absl::Duration step) { milliseconds_ += absl::ToInt64Milliseconds(step); }

 private:
  std::atomic<int64_t> milliseconds_{1000};
};

// A worker attached to the rank of `folder`.
class Attached {
 public:
  explicit Attached(const std::string& folder) : socket_(*link::ConnectUnix(folder, "link.sock")) {}

  // Blocks for the next message. An unset one if the rank closed.
  v1::FromRank Next() {
    while (true) {
      const auto frame = socket_.Next();
      v1::FromRank message;
      if (frame.ok() && frame->has_value() && message.ParseFromString(**frame)) return message;
      pollfd fd = {socket_.fd(), POLLIN, 0};
      if (!frame.ok() || ::poll(&fd, 1, 60000) <= 0 || !socket_.Receive().ok()) return {};
    }
  }
  void Send(const v1::ToRank& message) { ASSERT_TRUE(socket_.Send(message).ok()); }
  void Ack(int64_t sequence) {
    v1::ToRank message;
    message.set_sequence(sequence);
    message.mutable_ack();
    Send(message);
  }

 private:
  link::FrameSocket socket_;
};

class LinkHostTest : public ::testing::Test {
 protected:
  LinkHostTest() { std::filesystem::create_directories(folder_); }
  ~LinkHostTest() override { std::filesystem::remove_all(folder_); }

  void Start() {
    options_.folder = folder_;
    options_.generation = 3;
    options_.rank = 1;
    auto host = LinkHost::Start(options_);
    ASSERT_TRUE(host.ok()) << host.status();
    host_ = *std::move(host);
  }
  // Blocks until `condition` holds; the link thread works meanwhile.
  static bool Eventually(const std::function<bool()>& condition) {
    for (int i = 0; i < 60000; ++i) {
      if (condition()) return true;
      ::poll(nullptr, 0, 1);
    }
    return false;
  }

  const std::string folder_ = ::testing::TempDir() + "link_host_test." + std::to_string(::getpid());
  LinkHost::Options options_;
  std::unique_ptr<LinkHost> host_;
};

TEST_F(LinkHostTest, LeavingEndsTheProcessWithAnExitRecordAndJoinsNoThread) {
  const pid_t child = ::fork();  // Before any thread starts.
  if (child == 0) {
    Start();
    std::thread stuck([] { ::pause(); });  // As a read from storage that hangs.
    host_->Leave(absl::DeadlineExceededError("no image for 2m; reading a.jpg"));
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), kExitFailed);
  const auto bytes = ReadFile(folder_ + "/exit.pb");
  ASSERT_TRUE(bytes.ok()) << bytes.status();
  v1::RankExit record;
  ASSERT_TRUE(record.ParseFromString(*bytes));
  EXPECT_EQ(record.status_code(), "DEADLINE_EXCEEDED");
  EXPECT_EQ(record.message(), "no image for 2m; reading a.jpg");
  EXPECT_EQ(record.outcome(), v1::RANK_OUTCOME_FAILED);
}

TEST_F(LinkHostTest, CommitWaitsThroughARestartOfTheWorker) {
  Start();
  auto worker = std::make_unique<Attached>(folder_);
  auto commit = std::async(std::launch::async, [this] {
    jepa::CheckpointInfo checkpoint;
    checkpoint.step = 40;
    checkpoint.path = "/c/40";
    return host_->Commit(checkpoint, kLong);
  });
  const v1::FromRank first = worker->Next();
  EXPECT_EQ(first.checkpoint().checkpoint().step(), 40);
  EXPECT_EQ(first.checkpoint().checkpoint().generation(), 3);
  worker->Ack(first.sequence());
  worker.reset();
  worker = std::make_unique<Attached>(folder_);
  const v1::FromRank again = worker->Next();
  EXPECT_EQ(again.sequence(), first.sequence());
  v1::ToRank reply;
  reply.set_sequence(again.sequence());
  reply.mutable_commit()->set_committed(true);
  reply.mutable_commit()->add_deletable("/c/10");
  worker->Send(reply);
  const auto deletable = commit.get();
  ASSERT_TRUE(deletable.ok()) << deletable.status();
  EXPECT_EQ(*deletable, std::vector<std::string>{"/c/10"});
}

TEST_F(LinkHostTest, ARefusedCommitSaysWhy) {
  Start();
  Attached worker(folder_);
  auto commit =
      std::async(std::launch::async, [this] { return host_->Commit({}, kLong).status(); });
  v1::ToRank reply;
  reply.set_sequence(worker.Next().sequence());
  reply.mutable_commit()->set_message("generation 4 is newer");
  worker.Send(reply);
  const absl::Status status = commit.get();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(status.message().find("generation 4 is newer"), absl::string_view::npos);
}

TEST_F(LinkHostTest, CommitGivesUpAtItsTimeout) {
  Start();
  EXPECT_EQ(host_->Commit({}, absl::Milliseconds(1)).status().code(),
            absl::StatusCode::kDeadlineExceeded);
}

TEST_F(LinkHostTest, SupersededEndsEveryWait) {
  Start();
  Attached worker(folder_);
  auto get = std::async(std::launch::async, [this] { return host_->Get("id", kLong).status(); });
  EXPECT_EQ(worker.Next().get().key(), "id");
  v1::ToRank message;
  message.mutable_superseded();
  worker.Send(message);
  EXPECT_EQ(get.get().code(), absl::StatusCode::kAborted);
  EXPECT_EQ(host_->Alive().code(), absl::StatusCode::kAborted);
}

TEST_F(LinkHostTest, GetReturnsTheValue) {
  Start();
  Attached worker(folder_);
  auto get = std::async(std::launch::async, [this] { return host_->Get("id", kLong); });
  v1::ToRank reply;
  reply.set_sequence(worker.Next().sequence());
  reply.mutable_value()->set_value(std::string("\0\1", 2));
  worker.Send(reply);
  EXPECT_EQ(*get.get(), std::string("\0\1", 2));
}

TEST_F(LinkHostTest, TheNewestStepReportWins) {
  Start();
  for (int64_t step = 1; step <= 1000; ++step) {
    jepa::StepReport report;
    report.step = step;
    host_->ReportStep(report);
  }
  Attached worker(folder_);
  const v1::FromRank message = worker.Next();
  EXPECT_EQ(message.step().step(), 1000);
  EXPECT_EQ(message.step().rank(), 1);
  EXPECT_EQ(message.sequence(), 0);
  EXPECT_EQ(host_->last_step(), 1000);
}

TEST_F(LinkHostTest, EveryFigureOfTelemetryIsSent) {
  Start();
  Attached worker(folder_);
  jepa::StepReport report;
  report.step = 7;
  report.non_finite_steps = 3;
  report.non_finite_rollbacks = 2;
  report.telemetry = jepa::Telemetry{.step = 5,
                                     .effective_rank = 1,
                                     .pooled_effective_rank = 2,
                                     .max_effective_rank = 3,
                                     .std_mean = 4,
                                     .std_min = 5,
                                     .off_diagonal_covariance = 6,
                                     .variance_over_patches = 7,
                                     .variance_over_batch = 8,
                                     .prediction_cosine = 9,
                                     .target_distance = 10,
                                     .update_ratio = 11,
                                     .patch_embed_gradient_norm = 12,
                                     .encoder_block_gradient_norms = {13, 14},
                                     .predictor_block_gradient_norms = {15},
                                     .other_gradient_norm = 16,
                                     .collapse_suspected = true};
  host_->ReportStep(report);
  const v1::StepReport sent = worker.Next().step();
  EXPECT_EQ(sent.non_finite_steps(), 3);
  EXPECT_EQ(sent.non_finite_rollbacks(), 2);
  std::vector<const google::protobuf::FieldDescriptor*> fields;
  sent.telemetry().GetReflection()->ListFields(sent.telemetry(), &fields);
  EXPECT_EQ(static_cast<int>(fields.size()), sent.telemetry().GetDescriptor()->field_count());
  EXPECT_EQ(sent.telemetry().step(), 5);
  EXPECT_EQ(sent.telemetry().std_min(), 5);
  EXPECT_EQ(sent.telemetry().update_ratio(), 11);
  EXPECT_EQ(sent.telemetry().encoder_block_gradient_norms(1), 14);
  EXPECT_EQ(sent.telemetry().predictor_block_gradient_norms(0), 15);
}

TEST_F(LinkHostTest, ANewWorkerHearsOfTheLastStep) {
  Start();
  auto worker = std::make_unique<Attached>(folder_);
  jepa::StepReport report;
  report.step = 7;
  host_->ReportStep(report);
  EXPECT_EQ(worker->Next().step().step(), 7);
  worker.reset();
  worker = std::make_unique<Attached>(folder_);
  EXPECT_EQ(worker->Next().step().step(), 7);
}

TEST_F(LinkHostTest, DrainComesByMessageOrBySignal) {
  Start();
  EXPECT_FALSE(host_->DrainRequested());
  Attached worker(folder_);
  v1::ToRank message;
  message.mutable_drain();
  worker.Send(message);
  EXPECT_TRUE(Eventually([this] { return host_->DrainRequested(); }));

  host_.reset();
  const UniqueFd signal(::eventfd(1, EFD_CLOEXEC));
  options_.drain_fd = signal.get();
  Start();
  EXPECT_TRUE(Eventually([this] { return host_->DrainRequested(); }));
}

TEST_F(LinkHostTest, StopsWhenNoWorkerComesBackInTime) {
  FakeClock clock;
  options_.clock = &clock;
  Start();
  clock.Advance(absl::Minutes(9));
  EXPECT_TRUE(host_->Alive().ok());
  {
    Attached worker(folder_);
    host_->Note("RESUMED", "", 0);
    worker.Ack(worker.Next().sequence());
    EXPECT_TRUE(host_->Flush(kLong).ok());
    clock.Advance(absl::Hours(1));
    EXPECT_TRUE(host_->Alive().ok());
  }
  // The window starts anew when the worker goes; the link thread notices that in its own time.
  EXPECT_TRUE(Eventually([&] {
    clock.Advance(absl::Minutes(1));
    return host_->Alive().code() == absl::StatusCode::kAborted;
  }));
}

TEST_F(LinkHostTest, ANoteWithANameThatIsNotUtf8CanBeRead) {
  Start();
  Attached worker(folder_);
  host_->Note("BAD_IMAGE", "caf\xe9.jpg", 0);
  EXPECT_EQ(worker.Next().note().message(), "caf\xef\xbf\xbd.jpg");
}

TEST_F(LinkHostTest, FlushWaitsForAcknowledgements) {
  Start();
  host_->ReportProbe({});
  EXPECT_EQ(host_->Flush(absl::Milliseconds(1)).code(), absl::StatusCode::kDeadlineExceeded);
  Attached worker(folder_);
  const v1::FromRank probe = worker.Next();
  EXPECT_EQ(probe.probe().generation(), 3);
  worker.Ack(probe.sequence());
  EXPECT_TRUE(host_->Flush(kLong).ok());
}

}  // namespace
}  // namespace ijepa::rank
