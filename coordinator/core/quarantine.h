// Nodes on which attempts keep failing are given no ranks for a while. The owner of a quarantine is
// the coordinator; it ends by itself, or by ReleaseNode.
#ifndef IJEPA_COORDINATOR_CORE_QUARANTINE_H_
#define IJEPA_COORDINATOR_CORE_QUARANTINE_H_

#include <string>

#include "coordinator/core/turn.h"

namespace ijepa::coordinator {

// Counts a failed attempt against the node it failed on, if its class may be the node's fault, and
// quarantines the node when options.quarantine says so: at once when a GPU of it failed. Jobs that
// fail by themselves do so on every node: other faults of one job alone never do it, and half of
// the nodes stay.
void CountNodeFault(Turn& turn, Job& job, const v1::Failure& failure);

// Ends quarantines that are over.
void EndQuarantines(Turn& turn);

// Replies with an empty job once it is done; NotFound if there is no such node.
void HandleReleaseNode(Turn& turn, const ReleaseNode& command);

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_CORE_QUARANTINE_H_
