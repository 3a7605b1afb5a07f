// durable_submits: jobs per second that are acknowledged, which is after their write was synced.
// Clients and coordinator share the machine.
#include <grpcpp/grpcpp.h>

#include <condition_variable>
#include <memory>
#include <mutex>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "ijepa/v1/coordinator.grpc.pb.h"
#include "tests/bench/control_bench.h"
#include "tests/fakes/coordinator_process.h"

namespace ijepa::bench {
namespace {

// A job as people send it: few fields, the rest by default.
v1::CreateJobRequest NewRequest(int client, int64_t call) {
  v1::CreateJobRequest request;
  v1::JobSpec& spec = *request.mutable_spec();
  spec.set_name("bench");
  spec.mutable_ranks()->set_min(8);
  spec.mutable_ranks()->set_max(8);
  spec.mutable_data()->set_batch_size(128);
  spec.mutable_data()->set_path("/data/imagenet/train");
  spec.mutable_meta()->set_model_name("vit_small");
  spec.mutable_optimization()->set_epochs(100);
  v1::Label& label = *spec.add_labels();
  label.set_key("client");
  label.set_value(std::to_string(client));
  request.set_request_id("bench-" + std::to_string(client) + "-" + std::to_string(call));
  request.set_queue_anyway(true);
  return request;
}

// Clients of one run: each has one call under way until the end.
class Load {
 public:
  Load(const std::string& address, int clients, absl::Duration length)
      : end_(absl::Now() + length), running_(clients) {
    constexpr int kChannels = 4;
    for (int i = 0; i < std::min(kChannels, clients); ++i) {
      grpc::ChannelArguments arguments;
      arguments.SetInt("channel", i);  // Another connection for each.
      stubs_.push_back(v1::JobService::NewStub(
          grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments)));
    }
    for (int client = 0; client < clients; ++client) Submit(client, 0);
  }

  // Milliseconds of every call, once all clients are done.
  std::vector<double> Wait() {
    std::unique_lock lock(mutex_);
    done_.wait(lock, [this] { return running_ == 0; });
    return std::move(latencies_);
  }

  int failed() const { return failed_; }

 private:
  struct Call {
    grpc::ClientContext context;
    v1::CreateJobRequest request;
    v1::Job job;
    absl::Time start = absl::Now();
  };

  void Submit(int client, int64_t number) {
    auto call = std::make_shared<Call>();
    call->request = NewRequest(client, number);
    call->context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
    stubs_[client % stubs_.size()]->async()->CreateJob(
        &call->context, &call->request, &call->job,
        [this, call, client, number](const grpc::Status& status) {
          const absl::Time now = absl::Now();
          {
            std::lock_guard lock(mutex_);
            latencies_.push_back(absl::ToDoubleMilliseconds(now - call->start));
            failed_ += status.ok() ? 0 : 1;
            if (now >= end_ && --running_ == 0) done_.notify_one();
          }
          if (now < end_) Submit(client, number + 1);
        });
  }

  const absl::Time end_;
  std::vector<std::unique_ptr<v1::JobService::Stub>> stubs_;
  std::mutex mutex_;
  std::condition_variable done_;
  // Guarded by mutex_.
  int running_;
  int failed_ = 0;
  std::vector<double> latencies_;
};

Row Measure(const ControlOptions& options, int clients) {
  const absl::Duration length = absl::Seconds(options.quick ? 2 : 5);
  std::vector<double> rates;
  std::vector<double> medians;
  std::vector<double> p99s;
  int failed = 0;
  for (int i = 0; i < options.repeats; ++i) {
    CoordinatorProcess coordinator(options.folder + "/" + std::to_string(clients) + "-" +
                                   std::to_string(i));
    const absl::Time start = absl::Now();
    Load load(coordinator.address(), clients, length);
    std::vector<double> latencies = load.Wait();
    rates.push_back(static_cast<double>(latencies.size()) /
                    absl::ToDoubleSeconds(absl::Now() - start));
    medians.push_back(Percentile(latencies, 0.5));
    p99s.push_back(Percentile(latencies, 0.99));
    failed += load.failed();
  }
  return {{"bench", "durable_submits"}, {"clients", clients},     {"per_second", Median(rates)},
          {"p50_ms", Median(medians)},  {"p99_ms", Median(p99s)}, {"failed", failed},
          {"repeats", options.repeats}};
}

}  // namespace

std::vector<Row> BenchDurableSubmits(const ControlOptions& options) {
  return {Measure(options, 64), Measure(options, 1)};
}

}  // namespace ijepa::bench
