// A cluster that changes at random: nodes, gangs and queued jobs, in the scheduler's indexes, which
// are told of each change, and beside them, to make the same anew.
#ifndef IJEPA_TESTS_COORDINATOR_RANDOM_CLUSTER_H_
#define IJEPA_TESTS_COORDINATOR_RANDOM_CLUSTER_H_

#include <functional>
#include <map>
#include <random>
#include <string>

#include "coordinator/core/scheduler.h"

namespace ijepa::coordinator {

class RandomCluster {
 public:
  explicit RandomCluster(uint32_t seed);

  // Lets one thing change.
  void Change();
  // In [0, below).
  int Draw(int below) { return static_cast<int>(random_() % static_cast<uint32_t>(below)); }
  QueuedJob DrawJob();
  Selection DrawSelection() { return {Draw(2) == 0 ? kGpu : kCpu, Draw(4) == 0}; }

  // A pass over these, on a copy of the cluster.
  Plan PlanWith(const WaitingJobs& waiting, RunningGangs& gangs) const;
  // What a pass reads; the cluster is the caller's.
  ScheduleView View(const WaitingJobs& waiting, RunningGangs& gangs, ClusterIndex& on) const;

  // Made anew from what is there now.
  RunningGangs FreshGangs() const;
  void FillFresh(WaitingJobs& fresh) const;
  ClusterIndex FreshCluster() const;

  const std::map<std::string, NodeView>& nodes() const { return nodes_; }
  absl::Duration now() const { return now_; }

  WaitingJobs waiting;
  ClusterIndex cluster;
  RunningGangs running;
  SchedulingRules rules;

 private:
  void ChangeNode(const std::string& name);
  void StartGang();
  void ChangeGang(RunningGang& gang);
  // The free slots of the node follow from its gangs.
  void UpdateNode(const std::string& name);

  std::mt19937 random_;
  absl::Duration now_ = absl::Hours(10);
  std::map<std::string, NodeView> nodes_;
  std::map<std::string, RunningGang> gangs_;
  std::map<std::string, QueuedJob> jobs_;
  std::map<std::string, double> usage_ = {{"claims", 5000}};
  std::function<int(const std::string&)> bypassed_;
  int64_t number_ = 0;
};

}  // namespace ijepa::coordinator

#endif  // IJEPA_TESTS_COORDINATOR_RANDOM_CLUSTER_H_
