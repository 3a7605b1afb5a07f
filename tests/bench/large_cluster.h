// A core with many nodes and jobs, for benches: everything goes in by commands, as it does in
// service.
#ifndef IJEPA_TESTS_BENCH_LARGE_CLUSTER_H_
#define IJEPA_TESTS_BENCH_LARGE_CLUSTER_H_

#include <memory>
#include <string>
#include <vector>

#include "coordinator/core/core.h"

namespace ijepa::bench {

// Queues with quotas, of nodes in islands of 4, racks of 16 and blocks of 256.
class LargeCluster {
 public:
  static constexpr int kSlots = 8;
  static constexpr int kQueues = 20;

  explicit LargeCluster(int nodes);

  coordinator::Outcome Apply(const coordinator::Command& command);
  // Lets time pass; the caller ticks.
  void Pass(absl::Duration time);

  // Connects every node.
  void Connect();
  // Submits job `number`: its shape, queue, class, limit and topology follow from the number.
  // `time_limit`: instead of its own.
  void Submit(int number, const std::string& time_limit = "");
  // A pass, where what was applied asks for one; as the state thread does.
  void ScheduleIfNeeded();
  // A report of the node: it obeys, and its ranks are at `step`.
  coordinator::Command Report(const std::string& node, int64_t step);
  // The same, but the ranks of this job have saved and stopped.
  coordinator::Command ReportStopped(const std::string& node, const std::string& uid);

  const coordinator::State& state() const { return core_->state(); }
  int nodes() const { return nodes_; }

 private:
  coordinator::WorkerReport WholeReport(const std::string& node, int64_t step) const;

  const int nodes_;
  coordinator::CoreOptions options_;
  coordinator::Now now_;
  std::unique_ptr<coordinator::Core> core_;
};

std::string NodeName(int node);

}  // namespace ijepa::bench

#endif  // IJEPA_TESTS_BENCH_LARGE_CLUSTER_H_
