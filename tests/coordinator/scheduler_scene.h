// What a pass of the scheduler reads, put together by hand.
#ifndef IJEPA_TESTS_COORDINATOR_SCHEDULER_SCENE_H_
#define IJEPA_TESTS_COORDINATOR_SCHEDULER_SCENE_H_

#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "coordinator/core/scheduler.h"

namespace ijepa::coordinator {

// A plan with the reason of every job.
struct Planned : Plan {
  std::map<std::string, v1::Reason> reasons;
};

struct SchedulerScene {
  // Nobody bypasses anybody unless a test says so.
  SchedulerScene() { rules.max_bypass = 0; }

  SchedulingRules rules;
  WaitingJobs waiting;
  ClusterIndex cluster;
  RunningGangs running;
  std::map<std::string, double> usage;
  std::map<std::string, int> bypasses;
  absl::Duration now = absl::Seconds(1000);

  // A gang that holds slots of nodes that are in the cluster already.
  RunningGang& Run(const std::string& id, std::vector<Piece> pieces) {
    RunningGang gang;
    gang.id = id;
    gang.queue = kDefaultQueueName;
    gang.pieces = std::move(pieces);
    for (const Piece& piece : gang.pieces) gang.slots += piece.slots;
    gang.preemptible = true;
    gang.start = gang.safe = now - absl::Hours(1);
    cluster.Take(gang.pieces, 1);
    return gangs[id] = std::move(gang);
  }

  Planned Plan() {
    for (const auto& [id, gang] : gangs) running.Update(gang);
    waiting.Wake(now);
    const std::function<int(const std::string&)> bypassed = [&](const std::string& id) {
      return bypasses.count(id) > 0 ? bypasses.at(id) : 0;
    };
    Planned planned{Schedule({.now = now,
                              .wall = absl::FromUnixSeconds(1'700'000'000),
                              .rules = rules,
                              .waiting = waiting,
                              .cluster = cluster,
                              .running = running,
                              .usage = usage,
                              .bypassed = bypassed}),
                    {}};
    for (const Verdict& verdict : planned.verdicts) {
      for (const auto& [order, id] : verdict.group->jobs) {
        planned.reasons[id] = *verdict.reason;
      }
    }
    for (const Start& start : planned.starts) planned.reasons.erase(start.id);
    return planned;
  }

  std::map<std::string, RunningGang> gangs;
};

inline NodeView CpuNode(const std::string& name, int slots, int free) {
  NodeView node;
  node.name = name;
  node.slots = slots;
  node.free = free;
  return node;
}

inline QueuedJob WantsRanks(const std::string& id, int64_t number, int ranks) {
  QueuedJob job;
  job.id = id;
  job.number = number;
  job.sizes = {ranks};
  job.device = "auto";
  return job;
}

inline std::vector<std::string> Started(const Plan& plan) {
  std::vector<std::string> ids;
  for (const Start& start : plan.starts) ids.push_back(start.id);
  return ids;
}

}  // namespace ijepa::coordinator

#endif  // IJEPA_TESTS_COORDINATOR_SCHEDULER_SCENE_H_
