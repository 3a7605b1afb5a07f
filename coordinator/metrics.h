// What Prometheus sees of the coordinator. Counted when scraped, from the state; series of a job
// exist only while it is active.
#ifndef IJEPA_COORDINATOR_METRICS_H_
#define IJEPA_COORDINATOR_METRICS_H_

#include <prometheus/collectable.h>
#include <prometheus/counter.h>
#include <prometheus/histogram.h>
#include <prometheus/metric_family.h>
#include <prometheus/registry.h>

#include <vector>

#include "absl/time/time.h"
#include "coordinator/core/state.h"

namespace ijepa::coordinator {

class StateThread;

// Commits of the store. Thread-safe.
class CommitMetrics {
 public:
  explicit CommitMetrics(prometheus::Registry& registry);
  void Observe(absl::Duration latency, bool ok);

 private:
  prometheus::Histogram& latency_;
  prometheus::Counter& failures_;
};

// Figures of the state. Thread-safe.
class StateCollector : public prometheus::Collectable {
 public:
  // `state` outlives the server that scrapes this.
  explicit StateCollector(StateThread& state) : state_(state) {}

  // Waits for the state thread, two seconds at most; empty when it does not answer.
  std::vector<prometheus::MetricFamily> Collect() const override;

 private:
  StateThread& state_;
};

// The families of a state, for StateCollector.
std::vector<prometheus::MetricFamily> DescribeState(const State& state, size_t mailbox_depth);

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_METRICS_H_
