#include "worker/daemon/worker_metrics.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace ijepa::worker {
namespace {

prometheus::Family<prometheus::Gauge>& Gauges(prometheus::Registry& registry,
                                              const std::string& name, const std::string& help) {
  return prometheus::BuildGauge().Name(name).Help(help).Register(registry);
}

prometheus::Counter& Count(prometheus::Registry& registry, const std::string& name,
                           const std::string& help) {
  return prometheus::BuildCounter().Name(name).Help(help).Register(registry).Add({});
}

}  // namespace

WorkerMetrics::WorkerMetrics(prometheus::Registry& registry, int slots)
    : ranks_(Gauges(registry, "ijepa_worker_ranks", "Ranks on this node, by phase.")),
      rss_(Gauges(registry, "ijepa_worker_rank_rss_bytes",
                  "Resident memory of the rank in a slot, in bytes; 0 when the slot is free.")),
      cpu_(Gauges(registry, "ijepa_worker_rank_cpu_seconds",
                  "Processor time that the rank in a slot has used, in seconds.")),
      connected_(Gauges(registry, "ijepa_worker_coordinator_connected",
                        "1 while the coordinator answers on the stream, else 0.")
                     .Add({})),
      reconnects_(Count(registry, "ijepa_worker_link_reconnects_total",
                        "Streams to the coordinator after the first.")),
      rank_restarts_(Count(registry, "ijepa_worker_rank_restarts_total",
                           "Ranks started for a second or later attempt of a job.")),
      log_bytes_(Count(registry, "ijepa_worker_log_bytes_shipped_total",
                       "Bytes of ranks' logs sent to the coordinator.")) {
  Gauges(registry, "ijepa_worker_slots", "Ranks this node can run at a time.").Add({}).Set(slots);
}

void WorkerMetrics::SetRanks(const std::map<v1::RankPhase, int>& counts) {
  for (const auto& [phase, name] : {std::pair(v1::RANK_PHASE_STARTING, "starting"),
                                    std::pair(v1::RANK_PHASE_TRAINING, "training"),
                                    std::pair(v1::RANK_PHASE_EXITED, "exited")}) {
    const auto it = counts.find(phase);
    ranks_.Add({{"phase", name}}).Set(it == counts.end() ? 0 : it->second);
  }
}

void WorkerMetrics::SetUsage(int slot, const ProcessUsage& usage) {
  const std::map<std::string, std::string> labels = {{"slot", absl::StrCat(slot)}};
  rss_.Add(labels).Set(static_cast<double>(usage.rss_bytes));
  cpu_.Add(labels).Set(usage.cpu_seconds);
}

void WorkerMetrics::SetCoordinator(bool connected, int connections) {
  connected_.Set(connected ? 1 : 0);
  const double missing = std::max(0, connections - 1) - reconnects_.Value();
  if (missing > 0) reconnects_.Increment(missing);
}

}  // namespace ijepa::worker
