// See large_cluster.h.
#include "large_cluster.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace ijepa::bench {

using coordinator::Core;
using coordinator::Node;

namespace {

void AddLabel(v1::NodeInfo& info, const char* key, int value) {
  v1::NodeLabel& label = *info.add_labels();
  label.set_key(key);
  label.set_value(absl::StrCat(value));
}

std::string QueueName(int number) { return absl::StrCat("queue-", number); }

}  // namespace

std::string NodeName(int node) { return absl::StrFormat("node-%05d", node); }

LargeCluster::LargeCluster(int nodes)
    : nodes_(nodes), now_{absl::FromUnixSeconds(1'700'000'000), absl::Seconds(1000)} {
  options_.checkpoint_root = "/checkpoints";
  options_.max_active_jobs = 1'000'000;
  for (int q = 0; q < kQueues; ++q) {
    coordinator::QueueRules& rules = options_.scheduling.queues[QueueName(q)];
    rules.nominal = int64_t{nodes} * kSlots / kQueues;
    rules.limit = int64_t{nodes} * kSlots / 4;
    rules.weight = 1 + q % 3;
  }
  core_ = *Core::Restore(options_, {1, 0}, std::vector<coordinator::KeyValue>(), now_);
  core_->Begin(now_, true);
}

coordinator::Outcome LargeCluster::Apply(const coordinator::Command& command) {
  return core_->Apply(command, now_);
}

void LargeCluster::Pass(absl::Duration time) {
  now_.wall += time;
  now_.monotonic += time;
}

void LargeCluster::Connect() {
  for (int n = 0; n < nodes_; ++n) {
    coordinator::WorkerHello hello;
    hello.stream = static_cast<uint64_t>(n) + 1;
    v1::NodeInfo& info = *hello.hello.mutable_info();
    info.set_node(NodeName(n));
    info.set_slots(kSlots);
    AddLabel(info, "island", n / 4);
    AddLabel(info, "rack", n / 16);
    AddLabel(info, "block", n / 256);
    hello.hello.set_incarnation("boot");
    Apply(hello);
  }
}

void LargeCluster::ScheduleIfNeeded() {
  if (state().schedule_needed) Apply(coordinator::RunScheduler{});
}

void LargeCluster::Submit(int number, const std::string& time_limit) {
  static constexpr const char* kClasses[] = {"low", "normal", "high"};
  static constexpr const char* kLimits[] = {"", "1h", "12h", "48h"};
  coordinator::CreateJob create;
  v1::JobSpec& spec = create.spec;
  spec.set_name(absl::StrCat("job-", number));
  const int ranks = 1 << (number % 8);
  spec.mutable_ranks()->set_min(ranks);
  spec.mutable_ranks()->set_max(ranks);
  spec.set_shards(ranks);
  spec.set_device("auto");
  spec.set_max_restarts(10);
  spec.set_max_no_progress(3);
  spec.set_queue(QueueName(number / 8 % kQueues));
  spec.set_priority_class(kClasses[number / 160 % 3]);
  if (const char* limit = kLimits[number / 480 % 4]; *limit != '\0') spec.set_time_limit(limit);
  if (!time_limit.empty()) spec.set_time_limit(time_limit);
  if (ranks >= 16 && number / 1920 % 2 == 0) {
    spec.mutable_topology()->set_required(ranks <= 32 ? v1::TOPOLOGY_LEVEL_ISLAND
                                                      : v1::TOPOLOGY_LEVEL_RACK);
  }
  create.id = spec.name();
  create.uid = absl::StrCat("uid-", number);
  create.queue_anyway = true;
  Apply(create);
}

coordinator::WorkerReport LargeCluster::WholeReport(const std::string& node, int64_t step) const {
  coordinator::WorkerReport report;
  report.stream = state().nodes.at(node).stream;
  const v1::DesiredState& desired = state().nodes.at(node).desired;
  report.report.set_observed_revision(desired.revision());
  for (const v1::DesiredGang& gang : desired.gangs()) {
    for (const int rank : gang.ranks()) {
      v1::RankStatus& status = *report.report.add_ranks();
      status.set_job_uid(gang.job_uid());
      status.set_generation(gang.generation());
      status.set_rank(rank);
      status.set_phase(v1::RANK_PHASE_TRAINING);
      status.set_step(step);
    }
  }
  return report;
}

coordinator::Command LargeCluster::Report(const std::string& node, int64_t step) {
  return WholeReport(node, step);
}

coordinator::Command LargeCluster::ReportStopped(const std::string& node, const std::string& uid) {
  coordinator::WorkerReport report = WholeReport(node, 1);
  for (v1::RankStatus& rank : *report.report.mutable_ranks()) {
    if (rank.job_uid() != uid) continue;
    rank.set_phase(v1::RANK_PHASE_EXITED);
    rank.mutable_exit()->set_outcome(v1::RANK_OUTCOME_DRAINED);
  }
  return report;
}

}  // namespace ijepa::bench
