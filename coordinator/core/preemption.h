// Which gangs stop so that a job gets their slots. Pure.
//
// Victims are whole gangs of a lower class, or of queues that hold more than their quota while the
// job's queue has a claim to what it needs. The lowest class goes first, then the queue most over
// its quota, then who loses the least work since its last committed checkpoint. None stops unless
// the whole job then fits, and none that it can do without.
#ifndef IJEPA_COORDINATOR_CORE_PREEMPTION_H_
#define IJEPA_COORDINATOR_CORE_PREEMPTION_H_

#include <map>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "coordinator/core/cluster_index.h"
#include "coordinator/core/queues.h"
#include "coordinator/core/running_gangs.h"
#include "coordinator/core/waiting_jobs.h"

namespace ijepa::coordinator {

struct PreemptionAsk {
  absl::Duration now;
  const QueuedJob& job;
  int size = 0;
  // Its queue has a claim to the slots.
  bool within_nominal = false;
  // Where it is to fit: in one part of the level.
  Selection selection;
  v1::TopologyLevel level = v1::TOPOLOGY_LEVEL_CLUSTER;
  const SchedulingRules& rules;
  const RunningGangs& running;
  const ClusterIndex& cluster;
};

// Slots that a gang holds in a part of the cluster.
struct GangInPart {
  const RunningGang* gang = nullptr;
  int slots = 0;
};

// By Scope::part, of the parts that were asked for.
using GangsByPart = std::map<int, std::vector<GangInPart>>;

// Gangs in these parts of the level that may be told to stop for the job, and those that are on
// their way out. Their places must be settled (RunningGangs::Settle).
GangsByPart FindVictims(const PreemptionAsk& ask, const std::vector<Scope>& parts);

struct PreemptionChoice {
  // It will fit: with what is free, with gangs that are on their way out, and with the victims.
  bool fits = false;
  // Empty if nobody needs to stop.
  std::vector<std::string> victims;
};

// In this part; `gangs` are those that FindVictims found in it.
PreemptionChoice ChooseVictims(const PreemptionAsk& ask, const Scope& part,
                               const std::vector<GangInPart>& gangs);

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_CORE_PREEMPTION_H_
