// See metrics.h.
#include "coordinator/metrics.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <future>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/ascii.h"
#include "coordinator/core/lifecycle.h"
#include "coordinator/state_thread.h"

namespace ijepa::coordinator {
namespace {

constexpr std::chrono::seconds kScrapeTimeout(2);

using Labels = std::vector<prometheus::ClientMetric::Label>;

prometheus::MetricFamily Gauge(const char* name, const char* help) {
  prometheus::MetricFamily family;
  family.name = name;
  family.help = help;
  family.type = prometheus::MetricType::Gauge;
  return family;
}

void Add(prometheus::MetricFamily& family, Labels labels, double value) {
  prometheus::ClientMetric metric;
  metric.label = std::move(labels);
  metric.gauge.value = value;
  family.metric.push_back(std::move(metric));
}

// One series per value of the enum, zeros included: the list of values is closed.
template <typename Value>
prometheus::MetricFamily ByState(prometheus::MetricFamily family,
                                 const std::map<Value, int>& counts) {
  for (const auto& [value, count] : counts) {
    Add(family, {{"state", absl::AsciiStrToLower(ShortName(value))}}, count);
  }
  return family;
}

prometheus::MetricFamily Jobs(const State& state) {
  std::map<v1::JobState, int> counts;
  for (int s = 1; s < v1::JobState_ARRAYSIZE; ++s) counts[static_cast<v1::JobState>(s)] = 0;
  for (auto& [job_state, count] : counts) {
    const auto sealed = state.sealed_by_state.find(job_state);
    count = static_cast<int>(state.index.CountOf(job_state)) +
            static_cast<int>(sealed == state.sealed_by_state.end() ? 0 : sealed->second);
  }
  return ByState(Gauge("ijepa_coordinator_jobs", "Jobs by state."), counts);
}

prometheus::MetricFamily Waiting(const State& state) {
  auto family = Gauge("ijepa_coordinator_jobs_waiting", "Queued jobs by the code of their reason.");
  std::map<std::string, int> counts;
  for (const std::string& id : state.queued) {
    ++counts[state.jobs.at(id).proto.status().reason().code()];
  }
  for (const auto& [code, count] : counts) {
    Add(family, {{"reason", absl::AsciiStrToLower(code)}}, count);
  }
  return family;
}

prometheus::MetricFamily Nodes(const State& state) {
  std::map<v1::NodeState, int> counts;
  for (int s = 1; s < v1::NodeState_ARRAYSIZE; ++s) counts[static_cast<v1::NodeState>(s)] = 0;
  for (const auto& [name, node] : state.nodes) ++counts[node.state];
  return ByState(Gauge("ijepa_coordinator_nodes", "Registered nodes by state."), counts);
}

prometheus::MetricFamily Quarantined(const State& state) {
  auto family = Gauge("ijepa_coordinator_nodes_quarantined", "Nodes in quarantine.");
  Add(family, {},
      static_cast<double>(
          std::count_if(state.nodes.begin(), state.nodes.end(),
                        [](const auto& node) { return node.second.quarantine.has_value(); })));
  return family;
}

void AddScheduler(const State& state, std::vector<prometheus::MetricFamily>& families) {
  auto waiting =
      Gauge("ijepa_coordinator_queue_waiting_jobs", "Jobs that wait for slots, by queue.");
  auto used = Gauge("ijepa_coordinator_queue_slots_used", "Slots held by the jobs of a queue.");
  for (const auto& [queue, jobs] : state.waiting.jobs_by_queue()) {
    Add(waiting, {{"queue", queue}}, static_cast<double>(jobs));
  }
  for (const auto& [queue, slots] : state.running.used()) {
    Add(used, {{"queue", queue}}, static_cast<double>(slots));
  }
  auto passes = Gauge("ijepa_coordinator_scheduler_passes",
                      "Passes of the scheduler since the coordinator started.");
  auto starts = Gauge("ijepa_coordinator_scheduler_starts",
                      "Attempts that the scheduler started since the coordinator started.");
  auto stops = Gauge("ijepa_coordinator_scheduler_preemptions",
                     "Gangs that were told to stop for others since the coordinator started.");
  auto held = Gauge("ijepa_coordinator_scheduler_held_back_passes",
                    "Passes in a row that started nothing although a waiting job would fit into "
                    "the free slots.");
  Add(passes, {}, static_cast<double>(state.figures.passes));
  Add(starts, {}, static_cast<double>(state.figures.starts));
  Add(stops, {}, static_cast<double>(state.figures.preemptions));
  Add(held, {}, static_cast<double>(state.figures.held_back_passes));
  for (auto* family : {&waiting, &used, &passes, &starts, &stops, &held}) {
    families.push_back(std::move(*family));
  }
}

// The data pipeline of rank 0 of active jobs.
class DataGauges {
 public:
  void Add(const std::string& job, const v1::StepReport& step) {
    const v1::DataReport& data = step.data();
    const Labels labels = {{"job", job}};
    coordinator::Add(wait_, labels, step.data_wait_share());
    coordinator::Add(waited_, labels, data.wait_seconds());
    coordinator::Add(ready_, labels, data.ready_batches());
    coordinator::Add(capacity_, labels, data.max_batches());
    coordinator::Add(image_, labels, data.seconds_per_image());
    coordinator::Add(decode_, labels, data.decode_seconds_per_image());
    coordinator::Add(read_, labels, data.read_bytes_per_second());
    const std::pair<const char*, int64_t> reasons[] = {
        {"empty", data.empty()},           {"truncated", data.truncated()},
        {"corrupt", data.corrupt()},       {"too_large", data.too_large()},
        {"unreadable", data.unreadable()}, {"vanished", data.vanished()}};
    for (const auto& [reason, count] : reasons) {
      coordinator::Add(bad_, {{"job", job}, {"reason", reason}}, static_cast<double>(count));
    }
  }
  void MoveTo(std::vector<prometheus::MetricFamily>& families) {
    for (auto* family : {&wait_, &waited_, &ready_, &capacity_, &image_, &decode_, &read_, &bad_}) {
      families.push_back(std::move(*family));
    }
  }

 private:
  prometheus::MetricFamily wait_ = Gauge("ijepa_coordinator_job_data_wait_share",
                                         "Share of the last step that waited for data, 0 to 1.");
  prometheus::MetricFamily waited_ =
      Gauge("ijepa_coordinator_job_data_wait_seconds",
            "Seconds that the trainer of rank 0 has waited for batches in this attempt.");
  prometheus::MetricFamily ready_ =
      Gauge("ijepa_coordinator_job_data_ready_batches", "Batches decoded and waiting at rank 0.");
  prometheus::MetricFamily capacity_ =
      Gauge("ijepa_coordinator_job_data_max_batches", "Batches that may wait at rank 0.");
  prometheus::MetricFamily image_ =
      Gauge("ijepa_coordinator_job_data_image_seconds",
            "Seconds that one decoding thread of rank 0 spends on an image, reading included.");
  prometheus::MetricFamily decode_ = Gauge("ijepa_coordinator_job_data_decode_seconds",
                                           "Of the seconds per image, those that are not reading.");
  prometheus::MetricFamily read_ = Gauge("ijepa_coordinator_job_data_read_bytes_per_second",
                                         "Bytes of image files that rank 0 reads per second.");
  prometheus::MetricFamily bad_ =
      Gauge("ijepa_coordinator_job_bad_images",
            "Images that rank 0 replaced since the start of the attempt, by reason.");
};

// Figures of active jobs.
void AddProgress(const State& state, std::vector<prometheus::MetricFamily>& families) {
  auto step = Gauge("ijepa_coordinator_job_step", "Last finished step of an active job.");
  auto total = Gauge("ijepa_coordinator_job_steps_total", "Steps an active job has in all.");
  auto loss = Gauge("ijepa_coordinator_job_loss", "Training loss of an active job.");
  auto rate = Gauge("ijepa_coordinator_job_images_per_second",
                    "Images per second of an active job, over all its ranks.");
  auto restarts = Gauge("ijepa_coordinator_job_restarts", "Restarts of an active job.");
  auto saved =
      Gauge("ijepa_coordinator_job_checkpoint_time_seconds",
            "When the newest checkpoint of an active job was committed, in seconds of Unix "
            "time.");
  auto slow = Gauge("ijepa_coordinator_job_slow_rank_ratio",
                    "Own work per step of a named slow rank over the median rank's.");
  auto bus = Gauge("ijepa_coordinator_job_bus_bandwidth_bytes_per_second",
                   "Bus bandwidth of an all-reduce of an active job, measured when its attempt "
                   "began.");
  DataGauges data;
  for (const std::string& id : state.active) {
    const v1::JobStatus& status = state.jobs.at(id).proto.status();
    const Labels labels = {{"job", id}};
    Add(restarts, labels, status.restarts());
    if (status.has_latest_checkpoint()) {
      Add(saved, labels,
          absl::ToDoubleSeconds(FromProto(status.latest_checkpoint().commit_time()) -
                                absl::UnixEpoch()));
    }
    if (!status.attempts().empty() && status.attempts().rbegin()->has_network()) {
      Add(bus, labels, 1e9 * status.attempts().rbegin()->network().bus_gigabytes_per_second());
    }
    for (const v1::SlowRank& rank : status.slow_ranks()) {
      Add(slow, {{"job", id}, {"rank", std::to_string(rank.rank())}, {"node", rank.node()}},
          rank.ratio());
    }
    if (!status.has_progress()) continue;
    Add(step, labels, static_cast<double>(status.progress().step()));
    Add(total, labels, static_cast<double>(status.progress().total_steps()));
    Add(loss, labels, status.progress().loss());
    Add(rate, labels, status.progress().images_per_second());
    data.Add(id, status.progress());
  }
  for (auto* family : {&step, &total, &loss, &rate, &restarts, &saved, &slow, &bus}) {
    families.push_back(std::move(*family));
  }
  data.MoveTo(families);
}

double BlockNorm(const google::protobuf::RepeatedField<double>& norms) {
  double square = 0;
  for (const double norm : norms) square += norm * norm;
  return std::sqrt(square);
}

// One figure of the newest measurement, as the value of one series. A null label: none but the job.
struct HealthSeries {
  const char* name;
  const char* help;
  const char* label;
  const char* value;
  double (*figure)(const v1::Telemetry&);
};

// Series of one family stand together.
constexpr HealthSeries kHealth[] = {
    {"ijepa_coordinator_job_effective_rank",
     "Effective rank (RankMe) of the target features of an active job.", "features", "patch",
     [](const v1::Telemetry& t) { return t.effective_rank(); }},
    {"ijepa_coordinator_job_effective_rank", "", "features", "pooled",
     [](const v1::Telemetry& t) { return t.pooled_effective_rank(); }},
    {"ijepa_coordinator_job_feature_std",
     "Standard deviation of a target feature over patches, over all features.", "statistic", "mean",
     [](const v1::Telemetry& t) { return t.std_mean(); }},
    {"ijepa_coordinator_job_feature_std", "", "statistic", "min",
     [](const v1::Telemetry& t) { return t.std_min(); }},
    {"ijepa_coordinator_job_off_diagonal_covariance",
     "Root mean square covariance of two target features.", nullptr, nullptr,
     [](const v1::Telemetry& t) { return t.off_diagonal_covariance(); }},
    {"ijepa_coordinator_job_target_variance",
     "Variance of a target feature between patches of an image, and between images.", "over",
     "patches", [](const v1::Telemetry& t) { return t.variance_over_patches(); }},
    {"ijepa_coordinator_job_target_variance", "", "over", "batch",
     [](const v1::Telemetry& t) { return t.variance_over_batch(); }},
    {"ijepa_coordinator_job_prediction_cosine", "Cosine of prediction and target, mean.", nullptr,
     nullptr, [](const v1::Telemetry& t) { return t.prediction_cosine(); }},
    {"ijepa_coordinator_job_target_distance",
     "Distance of target and encoder weights as a share of the encoder's norm.", nullptr, nullptr,
     [](const v1::Telemetry& t) { return t.target_distance(); }},
    {"ijepa_coordinator_job_update_ratio", "Norm of an update as a share of the weights' norm.",
     nullptr, nullptr, [](const v1::Telemetry& t) { return t.update_ratio(); }},
    {"ijepa_coordinator_job_gradient_norm", "L2 norm of the gradient of a part of the networks.",
     "part", "encoder_blocks",
     [](const v1::Telemetry& t) { return BlockNorm(t.encoder_block_gradient_norms()); }},
    {"ijepa_coordinator_job_gradient_norm", "", "part", "predictor_blocks",
     [](const v1::Telemetry& t) { return BlockNorm(t.predictor_block_gradient_norms()); }},
    {"ijepa_coordinator_job_gradient_norm", "", "part", "patch_embed",
     [](const v1::Telemetry& t) { return t.patch_embed_gradient_norm(); }},
    {"ijepa_coordinator_job_gradient_norm", "", "part", "other",
     [](const v1::Telemetry& t) { return t.other_gradient_norm(); }},
    {"ijepa_coordinator_job_collapse_suspected",
     "1 while the collapse alarm of an active job is raised.", nullptr, nullptr,
     [](const v1::Telemetry& t) { return t.collapse_suspected() ? 1.0 : 0.0; }},
};

// The newest measurement of active jobs that have one.
void AddHealth(const State& state, std::vector<prometheus::MetricFamily>& families) {
  for (const HealthSeries& series : kHealth) {
    if (families.back().name != series.name) families.push_back(Gauge(series.name, series.help));
    for (const std::string& id : state.active) {
      const v1::StepReport& progress = state.jobs.at(id).proto.status().progress();
      if (!progress.has_telemetry()) continue;
      Labels labels = {{"job", id}};
      if (series.label != nullptr) labels.push_back({series.label, series.value});
      Add(families.back(), std::move(labels), series.figure(progress.telemetry()));
    }
  }
}

// Counted by the attempt: a restart begins at 0, as counters may.
void AddNonFinite(const State& state, std::vector<prometheus::MetricFamily>& families) {
  auto steps = Gauge("ijepa_coordinator_job_non_finite_steps_total",
                     "Steps of an active job's attempt whose loss or gradient was not finite.");
  steps.type = prometheus::MetricType::Counter;
  const auto add = [&](const std::string& id, const char* action, int64_t count) {
    prometheus::ClientMetric metric;
    metric.label = {{"job", id}, {"action", action}};
    metric.counter.value = static_cast<double>(count);
    steps.metric.push_back(std::move(metric));
  };
  for (const std::string& id : state.active) {
    const v1::JobStatus& status = state.jobs.at(id).proto.status();
    if (!status.has_progress()) continue;
    const v1::StepReport& progress = status.progress();
    add(id, "skip", progress.non_finite_steps() - progress.non_finite_rollbacks());
    add(id, "rollback", progress.non_finite_rollbacks());
  }
  families.push_back(std::move(steps));
}

}  // namespace

CommitMetrics::CommitMetrics(prometheus::Registry& registry)
    : latency_(
          prometheus::BuildHistogram()
              .Name("ijepa_coordinator_store_commit_seconds")
              .Help("Time of a commit to the store, sync to disk included, in seconds.")
              .Register(registry)
              .Add({}, prometheus::Histogram::BucketBoundaries{0.0005, 0.001, 0.002, 0.005, 0.01,
                                                               0.02, 0.05, 0.1, 0.5, 2})),
      failures_(prometheus::BuildCounter()
                    .Name("ijepa_coordinator_store_commit_failures_total")
                    .Help("Commits to the store that failed.")
                    .Register(registry)
                    .Add({})) {}

void CommitMetrics::Observe(absl::Duration latency, bool ok) {
  latency_.Observe(absl::ToDoubleSeconds(latency));
  if (!ok) failures_.Increment();
}

std::vector<prometheus::MetricFamily> DescribeState(const State& state, size_t mailbox_depth) {
  std::vector<prometheus::MetricFamily> families = {Jobs(state), Waiting(state), Nodes(state),
                                                    Quarantined(state)};
  auto total = Gauge("ijepa_coordinator_slots_total", "Slots of all nodes that are not lost.");
  auto used = Gauge("ijepa_coordinator_slots_used", "Slots held by jobs.");
  int slots = 0;
  int held = 0;
  for (const auto& [name, node] : state.nodes) {
    if (node.state == v1::NODE_STATE_LOST) continue;
    slots += node.info.slots();
    held += SlotsUsed(state, node);
  }
  Add(total, {}, slots);
  Add(used, {}, held);
  families.push_back(std::move(total));
  families.push_back(std::move(used));
  auto depth = Gauge("ijepa_coordinator_mailbox_depth", "Commands waiting for the state thread.");
  Add(depth, {}, static_cast<double>(mailbox_depth));
  families.push_back(std::move(depth));
  AddScheduler(state, families);
  AddProgress(state, families);
  AddHealth(state, families);
  AddNonFinite(state, families);
  return families;
}

std::vector<prometheus::MetricFamily> StateCollector::Collect() const {
  using Families = std::vector<prometheus::MetricFamily>;
  // Shared, because the answer may come after the wait is over.
  auto promise = std::make_shared<std::promise<Families>>();
  std::future<Families> answer = promise->get_future();
  const size_t depth = state_.mailbox_depth();
  state_.Read([promise, depth](const State* state) {
    promise->set_value(state == nullptr ? Families() : DescribeState(*state, depth));
  });
  if (answer.wait_for(kScrapeTimeout) != std::future_status::ready) return {};
  return answer.get();
}

}  // namespace ijepa::coordinator
