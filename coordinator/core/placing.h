// Between the state and the scheduler: what it reads is kept in step with the state, what it
// decides is carried out.
#ifndef IJEPA_COORDINATOR_CORE_PLACING_H_
#define IJEPA_COORDINATOR_CORE_PLACING_H_

#include <string>

#include "coordinator/core/options.h"
#include "coordinator/core/state.h"
#include "coordinator/core/turn.h"

namespace ijepa::coordinator {

// As the scheduler sees them: a node that is not lost, a job whether queued or not, a live gang.
NodeView ViewNode(const State& state, const std::string& name, const Node& node);
QueuedJob ViewJob(const Job& job, const CoreOptions& options);
RunningGang ViewGang(const Job& job, const CoreOptions& options);

// Bring what the scheduler reads up to date with one node or job that changed, or with all.
void RefreshNode(State& state, const std::string& name);
void RefreshJob(State& state, const Job& job, const CoreOptions& options);
void RebuildIndexes(State& state, const CoreOptions& options);

// Time with slots of attempts that have ended, and the most that the job may have in all;
// InfiniteDuration: no limit.
absl::Duration TimeUsed(const Job& job);
absl::Duration TimeLimit(const Job& job);

// Starts what fits, tells others to stop where that helps, and finds why the rest waits.
void PlaceQueuedJobs(Turn& turn);

// Tells jobs whose reason changed, `most` at a time: a queue may be long.
void TellReasons(Turn& turn, int most);

// Jobs stored before there were queues are of the default one.
std::string QueueOf(const Job& job);

// Counts what the queue used up to now, so that what it holds may change.
void SettleUsage(State& state, const std::string& queue, Now now, const SchedulingRules& rules);

// What clients see of a queue.
v1::Queue DescribeQueue(const State& state, const std::string& name, const SchedulingRules& rules);

// What the queue used until now, with what its live gangs hold.
double UsageOf(const State& state, const std::string& queue, absl::Time now,
               const SchedulingRules& rules);

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_CORE_PLACING_H_
