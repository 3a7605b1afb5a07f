// See elastic.h.
#include "coordinator/core/elastic.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "coordinator/core/jobs.h"
#include "coordinator/core/scheduler.h"

namespace ijepa::coordinator {
namespace {

// Ranks with which the job would start if its own slots were free; 0 if it would not.
int SizeNow(const Turn& turn, const Job& job) {
  std::vector<NodeView> nodes = ViewNodes(turn.state);
  for (NodeView& node : nodes) {
    node.free += static_cast<int>(RanksOn(*job.gang, node.name).size());
  }
  std::vector<QueuedJob> queue = {ViewJob(job)};
  queue.back().not_before = turn.now.monotonic;
  for (const std::string& id : turn.state.queued) queue.push_back(ViewJob(turn.state.jobs.at(id)));
  const Plan plan = Schedule(turn.now.monotonic, std::move(queue), std::move(nodes));
  for (const Start& start : plan.starts) {
    if (start.id == job.id) return static_cast<int>(start.nodes.size());
  }
  return 0;
}

}  // namespace

void GrowIfRoom(Turn& turn, Job& job) {
  Gang& gang = *job.gang;
  const auto size = static_cast<int>(gang.ranks.size());
  if (job.state() != v1::JOB_STATE_RUNNING || gang.clearing || gang.draining) return;
  if (GangSizes(job.proto.spec()).front() <= size) return;
  const int larger = SizeNow(turn, job);
  if (larger <= size) return;
  gang.draining = gang.growing = true;
  gang.deadline = turn.now.monotonic + turn.options.drain_deadline;
  job.drain_deadline = turn.now.wall + turn.options.drain_deadline;
  for (const std::string& node : NodesOf(gang)) turn.TouchNode(node);
  turn.AddEvent(job, EventCode::kGrowing,
                absl::StrCat("from ", size, " to ", larger,
                             " ranks, which are free: it saves and starts again"));
}

}  // namespace ijepa::coordinator
