// The worker's figures for Prometheus. Labels are slots and phases, never jobs.
#ifndef IJEPA_WORKER_DAEMON_WORKER_METRICS_H_
#define IJEPA_WORKER_DAEMON_WORKER_METRICS_H_

#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/gauge.h>
#include <prometheus/registry.h>

#include <cstdint>
#include <map>
#include <string>

#include "ijepa/v1/worker.pb.h"
#include "worker/daemon/process.h"

namespace ijepa::worker {

// Used by the loop thread; prometheus-cpp lets another thread scrape.
class WorkerMetrics {
 public:
  // `registry` outlives this.
  WorkerMetrics(prometheus::Registry& registry, int slots);

  // Ranks by phase.
  void SetRanks(const std::map<v1::RankPhase, int>& counts);
  void SetUsage(int slot, const ProcessUsage& usage);
  // A rank of a second or later attempt was started.
  void CountRestart() { rank_restarts_.Increment(); }
  void CountLogBytes(int64_t bytes) { log_bytes_.Increment(static_cast<double>(bytes)); }
  void SetCoordinator(bool connected, int connections);

 private:
  prometheus::Family<prometheus::Gauge>& ranks_;
  prometheus::Family<prometheus::Gauge>& rss_;
  prometheus::Family<prometheus::Gauge>& cpu_;
  prometheus::Gauge& connected_;
  prometheus::Counter& reconnects_;
  prometheus::Counter& rank_restarts_;
  prometheus::Counter& log_bytes_;
};

}  // namespace ijepa::worker

#endif  // IJEPA_WORKER_DAEMON_WORKER_METRICS_H_
