// recovery: from the start of the program to its first answer, and its memory, on a store of many
// jobs; list: pages of those by state and label.
#include <grpcpp/grpcpp.h>

#include <cstdlib>
#include <random>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "coordinator/core/core.h"
#include "coordinator/core/sealing.h"
#include "coordinator/store/sqlite_store.h"
#include "ijepa/v1/coordinator.grpc.pb.h"
#include "proto/spec/spec_defaults.h"
#include "tests/bench/control_bench.h"
#include "tests/fakes/coordinator_process.h"

namespace ijepa::bench {
namespace {

using coordinator::Batch;

struct Sizes {
  int64_t stored = 0;
  int64_t active = 0;
};

constexpr int kTeams = 20;
constexpr v1::JobState kEnds[] = {v1::JOB_STATE_SUCCEEDED, v1::JOB_STATE_FAILED,
                                  v1::JOB_STATE_CANCELLED};

void Check(const absl::Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "control_bench: %s\n", std::string(status.message()).c_str());
  std::exit(1);
}

v1::JobSpec SpecOf(int64_t number) {
  v1::JobSpec spec;
  spec.set_name("bench");
  spec.mutable_ranks()->set_min(8);
  spec.mutable_ranks()->set_max(8);
  spec.mutable_data()->set_batch_size(128);
  spec.mutable_data()->set_path("/data/imagenet/train");
  spec.mutable_meta()->set_model_name("vit_small");
  spec.mutable_optimization()->set_epochs(100);
  v1::Label& label = *spec.add_labels();
  label.set_key("team");
  label.set_value(absl::StrCat("team-", number % kTeams));
  spec::ResolveDefaults(&spec);
  return spec;
}

// A job that ran for a while: an attempt, some events, two checkpoints.
v1::SealedJob EndedJob(int64_t number) {
  v1::SealedJob sealed;
  sealed.set_number(number);
  v1::Job& job = *sealed.mutable_job();
  const std::string id = absl::StrCat("bench-", number);
  job.set_name(coordinator::JobName(coordinator::kDefaultProject, id));
  job.set_uid(absl::StrCat("uid-of-the-job-number-", number));
  *job.mutable_spec() = SpecOf(number);
  v1::JobStatus& status = *job.mutable_status();
  status.set_state(kEnds[(number / kTeams) % std::size(kEnds)]);
  *status.mutable_submit_time() = coordinator::ToProto(absl::Now() - absl::Hours(2));
  *status.mutable_end_time() = coordinator::ToProto(absl::Now() - absl::Hours(1));
  status.mutable_progress()->set_step(12345);
  v1::Attempt& attempt = *status.add_attempts();
  attempt.set_generation(1);
  for (int rank = 0; rank < 8; ++rank) {
    v1::RankPlacement& placement = *attempt.add_placements();
    placement.set_rank(rank);
    placement.set_node(absl::StrCat("node-", rank));
  }
  for (int i = 0; i < 8; ++i) {
    v1::Event& event = *status.add_events();
    event.set_code("CHECKPOINT_COMMITTED");
    event.set_message("step 1000, 123456789 bytes in /checkpoints/some/folder");
    event.set_sequence(i + 1);
  }
  for (int step : {1000, 2000}) {
    v1::Checkpoint& checkpoint = *sealed.add_checkpoints();
    checkpoint.set_step(step);
    checkpoint.set_path(absl::StrCat("/checkpoints/", id, "/step-", step));
  }
  return sealed;
}

void FillPast(coordinator::SqliteStore& store, int64_t count) {
  constexpr int64_t kBatch = 5000;
  for (int64_t first = 1; first <= count; first += kBatch) {
    Batch batch;
    for (int64_t n = first; n < first + kBatch && n <= count; ++n) {
      batch.sealed.push_back(coordinator::RowOf(EndedJob(n)));
    }
    Check(store.Commit(batch));
  }
}

// Through the core itself, so that the store holds what a coordinator leaves there.
void FillPresent(coordinator::SqliteStore& store, const Sizes& sizes) {
  coordinator::CoreOptions options;
  options.max_active_jobs = static_cast<int>(sizes.active) + 1;
  const coordinator::Now now{absl::Now(), absl::Seconds(1000)};
  coordinator::HistoryCounts past;
  past.last_number = sizes.stored;
  auto core = coordinator::Core::Restore(options, {1, 0}, store, past, now);
  Check(core.status());
  Batch batch;
  for (int64_t i = 0; i < sizes.active; ++i) {
    coordinator::CreateJob command;
    command.spec = SpecOf(i);
    command.uid = absl::StrCat("uid-of-the-live-job-number-", i);
    command.queue_anyway = true;
    coordinator::Outcome outcome = (*core)->Apply(command, now);
    std::move(outcome.writes.begin(), outcome.writes.end(), std::back_inserter(batch.writes));
    if (i % 2000 != 1999 && i + 1 != sizes.active) continue;
    Check(store.Commit(batch));
    batch = Batch();
  }
}

Row BenchList(const ControlOptions& options, const CoordinatorProcess& coordinator,
              const Sizes& sizes) {
  auto stub = v1::JobService::NewStub(
      grpc::CreateChannel(coordinator.address(), grpc::InsecureChannelCredentials()));
  std::mt19937 random(1);
  std::vector<double> latencies;
  const int calls = options.quick ? 200 : 1000;
  int64_t shown = 0;
  for (int i = 0; i < calls; ++i) {
    v1::ListJobsRequest request;
    request.set_page_size(100);
    request.add_states(kEnds[random() % std::size(kEnds)]);
    request.add_labels(absl::StrCat("team=team-", random() % kTeams));
    v1::ListJobsResponse response;
    // Every other call goes on from the page before.
    for (int page = 0; page < 2; ++page) {
      grpc::ClientContext context;
      const absl::Time start = absl::Now();
      const grpc::Status status = stub->ListJobs(&context, request, &response);
      latencies.push_back(absl::ToDoubleMilliseconds(absl::Now() - start));
      if (!status.ok()) Check(absl::InternalError(status.error_message()));
      shown += response.jobs_size();
      request.set_page_token(response.next_page_token());
    }
  }
  return {{"bench", "list"},
          {"stored", sizes.stored},
          {"active", sizes.active},
          {"jobs_per_page", static_cast<double>(shown) / static_cast<double>(latencies.size())},
          {"p50_ms", Percentile(latencies, 0.5)},
          {"p99_ms", Percentile(latencies, 0.99)}};
}

}  // namespace

std::vector<Row> BenchRecovery(const ControlOptions& options) {
  const Sizes sizes = options.quick ? Sizes{50'000, 10'000} : Sizes{1'000'000, 100'000};
  const std::string folder = options.folder + "/store";
  {
    auto store = coordinator::SqliteStore::Open(folder);
    Check(store.status());
    FillPast(**store, sizes.stored);
    FillPresent(**store, sizes);
  }
  std::vector<double> seconds;
  std::vector<double> bytes;
  Row list;
  for (int i = 0; i < options.repeats; ++i) {
    const CoordinatorProcess process(folder);
    seconds.push_back(process.seconds_to_serve());
    if (i + 1 == options.repeats) list = BenchList(options, process, sizes);
    bytes.push_back(static_cast<double>(process.ResidentBytes()));
  }
  return {{{"bench", "recovery"},
           {"stored", sizes.stored},
           {"active", sizes.active},
           {"seconds", Median(seconds)},
           {"rss_mb", Median(bytes) / 1e6},
           {"repeats", options.repeats}},
          list};
}

}  // namespace ijepa::bench
