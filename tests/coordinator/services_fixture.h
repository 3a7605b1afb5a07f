// A coordinator over loopback gRPC, and the calls that tests make.
#ifndef IJEPA_TESTS_COORDINATOR_SERVICES_FIXTURE_H_
#define IJEPA_TESTS_COORDINATOR_SERVICES_FIXTURE_H_

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "common/clock.h"
#include "coordinator/server.h"
#include "tests/fakes/temporary_folder.h"

namespace ijepa::coordinator {

// The real one, that may be moved ahead. Thread-safe.
class ShiftedClock : public Clock {
 public:
  absl::Time Now() override { return Clock::Real().Now() + absl::Seconds(shift_seconds.load()); }
  absl::Duration Monotonic() override {
    return Clock::Real().Monotonic() + absl::Seconds(shift_monotonic_seconds.load());
  }

  std::atomic<int64_t> shift_seconds{0};
  std::atomic<int64_t> shift_monotonic_seconds{0};
};

class ServicesTest : public ::testing::Test {
 protected:
  void SetUp() override { StartServer(); }

  virtual Settings MakeSettings() {
    Settings settings;
    settings.listen = "127.0.0.1:0";
    settings.worker_listen = "127.0.0.1:0";
    settings.metrics_listen = metrics_listen;
    settings.data_dir = folder.path();
    settings.core.checkpoint_root = "/checkpoints";
    settings.core.seal_after = seal_after;
    settings.ask_for_token = ask_for_token;
    settings.calls_per_second = calls_per_second;
    settings.calls_at_once = calls_at_once;
    return settings;
  }

  void StartServer() {
    server.reset();
    auto started = Server::Start(MakeSettings(), clock);
    ASSERT_TRUE(started.ok()) << started.status();
    server = *std::move(started);
    channel = grpc::CreateChannel(server->client_address(), grpc::InsecureChannelCredentials());
    jobs = v1::JobService::NewStub(channel);
  }

  static void SetDeadline(grpc::ClientContext& context) {
    context.set_wait_for_ready(true);
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
  }

  static v1::CreateJobRequest RequestFor(const std::string& name, int ranks) {
    v1::CreateJobRequest request;
    v1::JobSpec& spec = *request.mutable_spec();
    spec.set_name(name);
    spec.mutable_ranks()->set_min(ranks);
    spec.mutable_ranks()->set_max(ranks);
    spec.mutable_data()->set_batch_size(8);
    spec.mutable_data()->set_path("/data");
    spec.mutable_meta()->set_model_name("vit_tiny");
    spec.mutable_optimization()->set_epochs(1);
    return request;
  }

  grpc::Status Create(const v1::CreateJobRequest& request, v1::Job& job) {
    grpc::ClientContext context;
    SetDeadline(context);
    return jobs->CreateJob(&context, request, &job);
  }

  std::string Submit(const std::string& name, int ranks) {
    v1::CreateJobRequest request = RequestFor(name, ranks);
    request.set_queue_anyway(true);
    v1::Job job;
    const grpc::Status status = Create(request, job);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return job.name();
  }

  v1::Job Get(const std::string& name) {
    grpc::ClientContext context;
    SetDeadline(context);
    v1::GetJobRequest request;
    request.set_name(name);
    v1::Job job;
    EXPECT_TRUE(jobs->GetJob(&context, request, &job).ok());
    return job;
  }

  // Gives the job as it is then.
  v1::Job Cancel(const std::string& name) {
    grpc::ClientContext context;
    SetDeadline(context);
    v1::CancelJobRequest request;
    request.set_name(name);
    v1::Job job;
    EXPECT_TRUE(jobs->CancelJob(&context, request, &job).ok());
    return job;
  }

  // Watches until the job is in `state` or the stream ends; gives the states in order, without
  // repeats.
  std::vector<v1::JobState> Watch(const std::string& name,
                                  v1::JobState until = v1::JOB_STATE_UNSPECIFIED) {
    grpc::ClientContext context;
    SetDeadline(context);
    v1::WatchJobRequest request;
    request.set_name(name);
    auto reader = jobs->WatchJob(&context, request);
    std::vector<v1::JobState> states;
    v1::Job job;
    while (reader->Read(&job)) {
      if (states.empty() || states.back() != job.status().state()) {
        states.push_back(job.status().state());
      }
      if (states.back() != until) continue;
      context.TryCancel();
      reader->Finish();
      return states;
    }
    EXPECT_TRUE(reader->Finish().ok());
    return states;
  }

  std::vector<std::string> ReadLogs(v1::ReadLogsRequest request) {
    auto stub = v1::LogService::NewStub(channel);
    grpc::ClientContext context;
    SetDeadline(context);
    auto reader = stub->ReadLogs(&context, request);
    std::vector<std::string> texts;
    v1::LogLines lines;
    while (reader->Read(&lines)) {
      for (const v1::LogLine& line : lines.lines()) texts.push_back(line.text());
    }
    EXPECT_TRUE(reader->Finish().ok());
    return texts;
  }

  static v1::FromRank StepOf(int64_t step) {
    v1::FromRank message;
    message.mutable_step()->set_step(step);
    return message;
  }

  TemporaryFolder folder;
  ShiftedClock clock;
  // Of the next StartServer.
  absl::Duration seal_after = absl::Minutes(1);
  bool ask_for_token = false;
  double calls_per_second = 1e6;
  double calls_at_once = 1e6;
  // The metrics server takes two seconds to stop.
  std::string metrics_listen = "none";
  std::unique_ptr<Server> server;
  std::shared_ptr<grpc::Channel> channel;
  std::unique_ptr<v1::JobService::Stub> jobs;
};

}  // namespace ijepa::coordinator

#endif  // IJEPA_TESTS_COORDINATOR_SERVICES_FIXTURE_H_
