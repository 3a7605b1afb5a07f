// Any bytes as requests, reports and messages of ranks, one after the other, to a core that runs a
// job. The first byte of each says what it is and the second how long. Whatever they say, the core
// answers, its writes can be read back, and no more slots are used than a node has.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "absl/strings/str_cat.h"
#include "coordinator/core/core.h"
#include "coordinator/services/list_jobs.h"
#include "coordinator/services/submission.h"
#include "coordinator/store/memory_store.h"

namespace ijepa::coordinator {
namespace {

constexpr uint64_t kStream = 1;

void Require(bool holds) {
  if (!holds) std::abort();
}

// A core with a store, a node and a job on it.
class Subject {
 public:
  Subject() {
    options_.checkpoint_root = "/c";
    core_ = *Core::Restore(options_, {1, 0}, {}, Time());
    Take(core_->Begin(Time(), true));
    WorkerHello hello;
    hello.stream = kStream;
    hello.hello.mutable_info()->set_node("node");
    hello.hello.mutable_info()->set_slots(4);
    Apply(hello);
    v1::CreateJobRequest request;
    request.mutable_spec()->set_name("job");
    request.mutable_spec()->mutable_data()->set_path("/d");
    request.mutable_spec()->mutable_data()->set_batch_size(1);
    request.mutable_spec()->mutable_meta()->set_model_name("vit_tiny");
    request.mutable_spec()->mutable_optimization()->set_epochs(1);
    Submit(JobCommand(request, Random()));
  }

  void Message(uint8_t kind, const std::string& bytes) {
    now_ += absl::Milliseconds(500);
    switch (kind % 15) {
      case 0:
        return With<v1::CreateJobRequest>(
            bytes, [&](const auto& request) { Submit(JobCommand(request, Random())); });
      case 1:
        return With<v1::CreateArrayRequest>(
            bytes, [&](const auto& request) { Submit(ArrayCommand(request, Random())); });
      case 2:
        return With<v1::CancelJobRequest>(bytes, [&](const auto& request) {
          Apply(CancelJob{.name = request.name(), .etag = request.etag()});
        });
      case 3:
        return With<v1::HoldJobRequest>(bytes, [&](const auto& request) {
          Apply(SteerJob{.name = request.name(),
                         .steering = static_cast<Steering>(bytes.size() % 4),
                         .request_id = request.request_id()});
        });
      case 4:
        return With<v1::PinCheckpointRequest>(
            bytes, [&](const auto& request) { Apply(PinCheckpoint{.name = request.name()}); });
      case 5:
        return With<v1::ListJobsRequest>(bytes, [&](const auto& request) {
          const auto query = ReadListQuery(request);
          if (query.ok()) MakePage(*query, LiveJobs(*query, core_->state()));
        });
      case 6:
        return With<v1::NodeReport>(bytes, [&](const auto& report) {
          Apply(WorkerReport{kStream, report});
        });
      case 7:
        return With<v1::RankMessage>(bytes, [&](v1::RankMessage message) {
          // Of the job that runs, or nothing would look at it.
          if (message.job_uid().empty()) message.set_job_uid("u1");
          if (message.generation() == 0) message.set_generation(1);
          Apply(FromRankOn{kStream, message});
        });
      case 9:
        return With<v1::ForkJobRequest>(
            bytes, [&](const auto& request) { Submit(ForkCommand(request, Whole(), Random())); });
      case 10:
        return With<v1::WatchJobsRequest>(
            bytes, [&](const auto& request) { static_cast<void>(ReadWatchFilter(request)); });
      default:
        return ClusterMessage(kind % 15, bytes);
    }
  }

  void ClusterMessage(int kind, const std::string& bytes) {
    switch (kind) {
      case 11:
        return With<v1::CancelArrayRequest>(bytes, [&](const auto& request) {
          Apply(CancelArray{.name = request.name(), .request_id = request.request_id()});
        });
      case 12:
        return With<v1::CordonNodeRequest>(bytes, [&](const auto& request) {
          Apply(CordonNode{.name = NodeOf(request), .cordoned = true, .reason = request.reason()});
        });
      case 13:
        return With<v1::SetMaintenanceRequest>(bytes, [&](const auto& request) {
          Apply(SetMaintenance{.name = NodeOf(request),
                               .windows = {request.windows().begin(), request.windows().end()}});
        });
      case 14:
        return With<v1::Hello>(bytes, [&](const auto& hello) {
          Apply(WorkerHello{kStream + ++connected_, hello});
        });
      default:
        return Apply(Tick{});
    }
  }

  void Check() {
    for (const auto& [name, node] : core_->state().nodes) {
      Require(SlotsUsed(core_->state(), node) - node.foreign_ranks <= node.info.slots());
    }
    Require(Core::Restore(options_, {2, 0}, store_, {}, Time()).ok());
  }

 private:
  // Most bytes would name no node.
  template <typename Request>
  static std::string NodeOf(const Request& request) {
    return request.name().empty() ? "node" : request.name();
  }

  // The first job, as if it had a checkpoint.
  v1::SealedJob Whole() {
    v1::SealedJob whole;
    if (const Job* job = FindJobByUid(core_->state(), "u1")) *whole.mutable_job() = job->proto;
    whole.add_checkpoints()->set_path("/c/1");
    return whole;
  }

  RandomText Random() {
    return [this](int) { return absl::StrCat("u", ++drawn_); };
  }

  Now Time() const { return {absl::FromUnixSeconds(1700000000) + now_, now_}; }

  template <typename Request, typename Use>
  void With(const std::string& bytes, const Use& use) {
    Request request;
    if (request.ParseFromString(bytes)) use(request);
  }

  template <typename Made>
  void Submit(absl::StatusOr<Made> command) {
    if (command.ok()) Apply(*std::move(command));
  }

  void Apply(const Command& command) {
    Take(core_->Apply(command, Time()));
    if (core_->state().schedule_needed) Take(core_->Apply(RunScheduler{}, Time()));
  }

  void Take(Outcome outcome) { Require(store_.Commit({{}, std::move(outcome.writes)}).ok()); }

  CoreOptions options_;
  MemoryStore store_;
  std::unique_ptr<Core> core_;
  absl::Duration now_ = absl::Seconds(1000);
  int drawn_ = 0;
  uint64_t connected_ = 0;
};

}  // namespace
}  // namespace ijepa::coordinator

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  ijepa::coordinator::Subject subject;
  for (size_t at = 0; at + 2 <= size;) {
    const uint8_t kind = data[at];
    const size_t length = std::min<size_t>(data[at + 1], size - at - 2);
    subject.Message(kind, std::string(reinterpret_cast<const char*>(data) + at + 2, length));
    at += 2 + length;
  }
  subject.Check();
  return 0;
}
