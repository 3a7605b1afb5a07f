// Heartbeats of workers over real gRPC streams, to a coordinator of its own process: each reports
// its eight ranks every five seconds and waits for the acknowledgement.
#include <grpcpp/grpcpp.h>
#include <sys/resource.h>

#include <chrono>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "control_bench.h"
#include "ijepa/v1/coordinator.grpc.pb.h"
#include "ijepa/v1/worker.grpc.pb.h"
#include "tests/fakes/coordinator_process.h"

namespace ijepa::bench {
namespace {

constexpr int kSlots = 8;
// Streams of more workers share connections.
constexpr int kMostConnections = 400;
constexpr absl::Duration kBeat = absl::Seconds(5);
constexpr absl::Duration kTurn = absl::Milliseconds(5);

// A worker that obeys: what it is to run trains at once.
class StreamWorker : public grpc::ClientBidiReactor<v1::WorkerMessage, v1::CoordinatorMessage> {
 public:
  StreamWorker(v1::WorkerService::Stub& stub, int number) {
    v1::Hello& hello = *out_.mutable_hello();
    hello.mutable_info()->set_node(absl::StrCat("node-", number));
    hello.mutable_info()->set_slots(kSlots);
    hello.set_incarnation("boot");
    stub.async()->Connect(&context_, this);
    writing_ = true;
    StartWrite(&out_);
    StartRead(&in_);
    // Until it is cancelled.
    AddHold();
    StartCall();
  }

  // Sends a report, unless the one before is still on its way.
  void Beat() {
    std::lock_guard lock(mutex_);
    if (writing_ || ended_) return;
    ++step_;
    for (v1::RankStatus& rank : *report_.mutable_ranks()) rank.set_step(step_);
    out_.Clear();
    *out_.mutable_report() = report_;
    writing_ = true;
    if (sent_ == absl::InfinitePast()) sent_ = absl::Now();
    StartWrite(&out_);
  }

  void OnWriteDone(bool ok) override {
    std::lock_guard lock(mutex_);
    writing_ = false;
    ended_ = ended_ || !ok;
  }

  void OnReadDone(bool ok) override {
    std::lock_guard lock(mutex_);
    if (!ok) {
      ended_ = true;
      return;
    }
    if (sent_ != absl::InfinitePast()) {
      acknowledged_.push_back(absl::ToDoubleMilliseconds(absl::Now() - sent_));
      sent_ = absl::InfinitePast();
    }
    if (in_.has_desired()) Obey(in_.desired());
    StartRead(&in_);
  }

  void OnDone(const grpc::Status&) override {
    std::lock_guard lock(mutex_);
    done_ = true;
  }

  void Cancel() {
    context_.TryCancel();
    RemoveHold();
  }
  bool done() {
    std::lock_guard lock(mutex_);
    return done_;
  }
  bool ended() {
    std::lock_guard lock(mutex_);
    return ended_;
  }
  // Milliseconds of the acknowledgements since the last call.
  std::vector<double> TakeLatencies() {
    std::lock_guard lock(mutex_);
    return std::exchange(acknowledged_, {});
  }
  int ranks() {
    std::lock_guard lock(mutex_);
    return report_.ranks_size();
  }

 private:
  void Obey(const v1::DesiredState& desired) {
    report_.Clear();
    report_.set_observed_revision(desired.revision());
    for (const v1::DesiredGang& gang : desired.gangs()) {
      for (const int rank : gang.ranks()) {
        v1::RankStatus& status = *report_.add_ranks();
        status.set_job_uid(gang.job_uid());
        status.set_generation(gang.generation());
        status.set_rank(rank);
        status.set_phase(v1::RANK_PHASE_TRAINING);
      }
    }
  }

  grpc::ClientContext context_;
  std::mutex mutex_;
  // Guarded by mutex_.
  v1::WorkerMessage out_;
  v1::CoordinatorMessage in_;
  v1::NodeReport report_;
  int64_t step_ = 0;
  absl::Time sent_ = absl::InfinitePast();
  std::vector<double> acknowledged_;
  bool writing_ = false;
  bool ended_ = false;
  bool done_ = false;
};

class Fleet {
 public:
  Fleet(const std::string& address, int size) {
    for (int i = 0; i < std::min(size, kMostConnections); ++i) {
      grpc::ChannelArguments arguments;
      arguments.SetInt("channel", i);  // Another connection for each.
      stubs_.push_back(v1::WorkerService::NewStub(
          grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments)));
    }
    for (int i = 0; i < size; ++i) {
      workers_.push_back(std::make_unique<StreamWorker>(*stubs_[i % stubs_.size()], i));
    }
  }

  ~Fleet() {
    for (const auto& worker : workers_) worker->Cancel();
    for (const auto& worker : workers_) {
      while (!worker->done()) absl::SleepFor(absl::Milliseconds(1));
    }
  }

  // Every worker beats once per kBeat, one after the other.
  void BeatFor(absl::Duration length) {
    const absl::Time start = absl::Now();
    const double rate = static_cast<double>(workers_.size()) / absl::ToDoubleSeconds(kBeat);
    int64_t sent = 0;
    for (absl::Time now = start; now < start + length; now = absl::Now()) {
      const auto due = static_cast<int64_t>(absl::ToDoubleSeconds(now - start) * rate);
      for (; sent < due; ++sent) workers_[sent % workers_.size()]->Beat();
      absl::SleepFor(kTurn);
    }
  }

  std::vector<double> TakeLatencies() {
    std::vector<double> all;
    for (const auto& worker : workers_) {
      for (const double latency : worker->TakeLatencies()) all.push_back(latency);
    }
    return all;
  }

  int CountEnded() {
    int ended = 0;
    for (const auto& worker : workers_) ended += worker->ended() ? 1 : 0;
    return ended;
  }
  int64_t CountRanks() {
    int64_t ranks = 0;
    for (const auto& worker : workers_) ranks += worker->ranks();
    return ranks;
  }

 private:
  std::vector<std::unique_ptr<v1::WorkerService::Stub>> stubs_;
  std::vector<std::unique_ptr<StreamWorker>> workers_;
};

// One job per 64 slots, so that every worker has ranks to report.
void SubmitJobs(const std::string& address, int workers) {
  const auto stub =
      v1::JobService::NewStub(grpc::CreateChannel(address, grpc::InsecureChannelCredentials()));
  constexpr int kRanks = 64;
  for (int i = 0; i < workers * kSlots / kRanks; ++i) {
    v1::CreateJobRequest request;
    v1::JobSpec& spec = *request.mutable_spec();
    spec.set_name("bench");
    spec.set_device("cpu");
    spec.mutable_ranks()->set_min(kRanks);
    spec.mutable_ranks()->set_max(kRanks);
    spec.mutable_data()->set_batch_size(128);
    spec.mutable_data()->set_path("/data/imagenet/train");
    spec.mutable_meta()->set_model_name("vit_small");
    spec.mutable_optimization()->set_epochs(100);
    request.set_queue_anyway(true);
    grpc::ClientContext context;
    v1::Job job;
    stub->CreateJob(&context, request, &job);
  }
}

int64_t CountNotReady(const std::string& address, int64_t workers) {
  const auto stub =
      v1::NodeService::NewStub(grpc::CreateChannel(address, grpc::InsecureChannelCredentials()));
  grpc::ClientContext context;
  v1::ListNodesResponse response;
  stub->ListNodes(&context, {}, &response);
  int64_t ready = 0;
  for (const v1::Node& node : response.nodes()) ready += node.state() == v1::NODE_STATE_READY;
  return workers - ready;
}

}  // namespace

std::vector<Row> BenchHeartbeatStreams(const ControlOptions& options) {
  const int workers = options.quick ? 1000 : 2000;
  const absl::Duration length = absl::Seconds(options.quick ? 10 : 30);
  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  CoordinatorProcess coordinator(options.folder + "/streams");
  Fleet fleet(coordinator.worker_address(), workers);
  fleet.BeatFor(kBeat);
  SubmitJobs(coordinator.address(), workers);
  // Gangs start meanwhile.
  fleet.BeatFor(2 * kBeat);
  fleet.TakeLatencies();
  const double cpu_before = coordinator.CpuSeconds();
  const absl::Time start = absl::Now();
  fleet.BeatFor(length);
  const double cpu = coordinator.CpuSeconds() - cpu_before;
  const double seconds = absl::ToDoubleSeconds(absl::Now() - start);
  std::vector<double> latencies = fleet.TakeLatencies();
  return {{{"bench", "heartbeat_streams"},
           {"streams", workers},
           {"ranks", fleet.CountRanks()},
           {"beats_per_second", static_cast<double>(latencies.size()) / seconds},
           {"share_of_a_core", cpu / seconds},
           {"ack_p50_ms", Percentile(latencies, 0.5)},
           {"ack_p99_ms", Percentile(latencies, 0.99)},
           {"false_expiries", CountNotReady(coordinator.address(), workers)},
           {"streams_ended", fleet.CountEnded()}}};
}

}  // namespace ijepa::bench
