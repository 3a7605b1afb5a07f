// The coordinator is killed again and again while clients that retry submit jobs: no acknowledged
// job is lost, none is there twice, none is stuck.
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <map>
#include <mutex>
#include <random>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "ijepa/v1/coordinator.grpc.pb.h"
#include "tests/fakes/coordinator_process.h"
#include "tests/fakes/temporary_folder.h"

namespace ijepa {
namespace {

constexpr int kClients = 8;

int FromEnvironment(const char* name, int otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::atoi(text);
}

v1::CreateJobRequest RequestFor(int number) {
  v1::CreateJobRequest request;
  v1::JobSpec& spec = *request.mutable_spec();
  spec.set_name("job");
  spec.mutable_data()->set_batch_size(8);
  spec.mutable_data()->set_path("/data");
  spec.mutable_meta()->set_model_name("vit_tiny");
  spec.mutable_optimization()->set_epochs(1);
  request.set_request_id(absl::StrCat("request-", number));
  request.set_queue_anyway(true);
  return request;
}

class KillTest : public ::testing::Test {
 protected:
  // At least this many jobs, while the coordinator is killed at least so often, with waits in this
  // range between.
  const int jobs = FromEnvironment("IJEPA_KILL_JOBS", 300);
  const int kills = FromEnvironment("IJEPA_KILLS", 4);
  const double shortest = FromEnvironment("IJEPA_KILL_SHORTEST_MS", 200);
  const double longest = FromEnvironment("IJEPA_KILL_LONGEST_MS", 1500);

  // Between two calls of a client, so that the jobs are spread over the kills.
  const absl::Duration pace =
      absl::Milliseconds(kills * (shortest + longest) / 2 * kClients / jobs);

  std::unique_ptr<v1::JobService::Stub> Connect() {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 50);
    arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 200);
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    return v1::JobService::NewStub(
        grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments));
  }

  // Repeats the call until it is answered; every answer but "away" counts.
  template <typename Response, typename Call>
  grpc::Status Retry(const Call& call, Response& response) {
    while (true) {
      grpc::ClientContext context;
      context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(5));
      const grpc::Status status = call(context, response);
      const bool away = status.error_code() == grpc::StatusCode::UNAVAILABLE ||
                        status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED;
      if (!away) return status;
      absl::SleepFor(absl::Milliseconds(20));
    }
  }

  void Submit() {
    const auto stub = Connect();
    while (true) {
      const int number = next.fetch_add(1);
      if (number >= jobs && killed.load() >= kills) return;
      const v1::CreateJobRequest request = RequestFor(number);
      v1::Job job;
      const grpc::Status status =
          Retry([&](grpc::ClientContext& context,
                    v1::Job& answer) { return stub->CreateJob(&context, request, &answer); },
                job);
      absl::SleepFor(pace);
      std::lock_guard lock(mutex);
      if (!status.ok()) {
        ADD_FAILURE() << status.error_message();
        return;
      }
      acknowledged[number] = job.name();
    }
  }

  void KillAgainAndAgain() {
    std::mt19937 random(7);
    std::uniform_real_distribution<double> wait(shortest, longest);
    while (killed.load() < kills || next.load() < jobs) {
      absl::SleepFor(absl::Milliseconds(wait(random)));
      coordinator->Kill();
      coordinator = std::make_unique<CoordinatorProcess>(folder.path(), address);
      killed.fetch_add(1);
    }
  }

  // Every job that there is, by name.
  std::map<std::string, v1::JobState> ListAll(v1::JobService::Stub& stub) {
    std::map<std::string, v1::JobState> all;
    v1::ListJobsRequest request;
    request.set_page_size(1000);
    do {
      v1::ListJobsResponse page;
      const grpc::Status status = Retry(
          [&](grpc::ClientContext& context, v1::ListJobsResponse& answer) {
            return stub.ListJobs(&context, request, &answer);
          },
          page);
      EXPECT_TRUE(status.ok()) << status.error_message();
      for (const v1::Job& job : page.jobs()) all[job.name()] = job.status().state();
      request.set_page_token(page.next_page_token());
    } while (!request.page_token().empty());
    return all;
  }

  TemporaryFolder folder;
  std::unique_ptr<CoordinatorProcess> coordinator;
  std::string address;
  std::atomic<int> next{0};
  std::atomic<int> killed{0};
  std::mutex mutex;
  // By the number of the request. Guarded by mutex while clients run.
  std::map<int, std::string> acknowledged;
};

TEST_F(KillTest, NoJobIsLostDoubledOrStuck) {
  coordinator = std::make_unique<CoordinatorProcess>(folder.path());
  address = coordinator->address();
  std::vector<std::thread> clients;
  for (int i = 0; i < kClients; ++i) clients.emplace_back([this] { Submit(); });
  KillAgainAndAgain();
  for (std::thread& client : clients) client.join();
  ASSERT_GE(static_cast<int>(acknowledged.size()), jobs);
  std::set<std::string> names;
  for (const auto& [number, name] : acknowledged) names.insert(name);
  EXPECT_EQ(names.size(), acknowledged.size()) << "two requests were answered with one job";
  const auto stub = Connect();
  const auto all = ListAll(*stub);
  EXPECT_EQ(all.size(), names.size()) << "a request made two jobs, or one was lost";
  for (const std::string& name : names) EXPECT_EQ(all.count(name), 1) << name << " was lost";
  for (const std::string& name : names) {
    v1::CancelJobRequest request;
    request.set_name(name);
    v1::Job job;
    const grpc::Status status =
        Retry([&](grpc::ClientContext& context,
                  v1::Job& answer) { return stub->CancelJob(&context, request, &answer); },
              job);
    ASSERT_TRUE(status.ok()) << status.error_message();
    EXPECT_EQ(job.status().state(), v1::JOB_STATE_CANCELLED) << name << " is stuck";
  }
  std::printf("%zu jobs, %d kills\n", names.size(), killed.load());
}

}  // namespace
}  // namespace ijepa
