// See elastic.h.
#include "coordinator/core/elastic.h"

#include <functional>
#include <map>
#include <string>

#include "absl/strings/str_cat.h"
#include "coordinator/core/gang.h"
#include "coordinator/core/placing.h"
#include "coordinator/core/scheduler.h"

namespace ijepa::coordinator {
namespace {

// Ranks with which the job would start if its own slots were free; 0 if it would not.
int SizeNow(const Turn& turn, const Job& job) {
  const RunningGang* own = turn.state.running.Find(job.id);
  if (own == nullptr) return 0;
  QueuedJob also = ViewJob(job, turn.options);
  also.not_before = -absl::InfiniteDuration();
  // Most of the time nothing is free, and a pass over all is spared.
  int64_t free = 0;
  for (const Selection& selection : SelectionsOf(also)) {
    free += turn.state.cluster.Count(selection).free;
  }
  if (free == 0) return 0;
  // What the pass starts is given back: a copy of the cluster would cost more than the pass.
  ClusterIndex& cluster = turn.state.cluster;
  cluster.Take(own->pieces, -1);
  const std::map<std::string, double> usage;
  const std::function<int(const std::string&)> bypassed = [&](const std::string& id) {
    return turn.state.jobs.at(id).bypassed;
  };
  SchedulingRules rules = turn.options.scheduling;
  rules.max_preemptions = 0;
  const Plan plan = Schedule({.now = turn.now.monotonic,
                              .wall = turn.now.wall,
                              .rules = rules,
                              .waiting = turn.state.waiting,
                              .cluster = cluster,
                              .running = turn.state.running,
                              .usage = usage,
                              .bypassed = bypassed,
                              .also = &also,
                              .also_slots = own->slots});
  int size = 0;
  for (const Start& start : plan.starts) {
    if (start.id == job.id) size = static_cast<int>(start.nodes.size());
    for (const std::string& node : start.nodes) cluster.Take({{node, 1}}, -1);
  }
  cluster.Take(own->pieces, 1);
  return size;
}

}  // namespace

void GrowIfRoom(Turn& turn, Job& job) {
  Gang& gang = *job.gang;
  const auto size = static_cast<int>(gang.ranks.size());
  if (job.state() != v1::JOB_STATE_RUNNING || gang.clearing || gang.draining) return;
  // A backend gave it what it asked for.
  if (job.proto.status().has_allocation()) return;
  if (GangSizes(job.proto.spec()).front() <= size) return;
  const int larger = SizeNow(turn, job);
  if (larger <= size) return;
  StopGang(turn, job, StopCause::kGrow,
           absl::StrCat("from ", size, " to ", larger,
                        " ranks, which are free: it saves and starts again"));
}

}  // namespace ijepa::coordinator
