// The one table of a job's legal moves, and of a node's.
#ifndef IJEPA_COORDINATOR_CORE_LIFECYCLE_H_
#define IJEPA_COORDINATOR_CORE_LIFECYCLE_H_

#include <string>
#include <vector>

#include "ijepa/v1/cluster.pb.h"
#include "ijepa/v1/job.pb.h"

namespace ijepa::coordinator {

struct JobMove {
  v1::JobState from;
  v1::JobState to;
  // What makes it happen.
  const char* trigger;
};

struct NodeMove {
  v1::NodeState from;
  v1::NodeState to;
  const char* trigger;
};

const std::vector<JobMove>& JobMoves();
const std::vector<NodeMove>& NodeMoves();

bool MayMove(v1::JobState from, v1::JobState to);
bool MayMove(v1::NodeState from, v1::NodeState to);

// Terminal states are never left.
bool IsTerminal(v1::JobState state);

// Ranks were asked to save and stop for good, or for a while: CANCELLING, PAUSING.
bool IsStopping(v1::JobState state);

// RUNNING for JOB_STATE_RUNNING.
std::string ShortName(v1::JobState state);
// READY for NODE_STATE_READY.
std::string ShortName(v1::NodeState state);

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_CORE_LIFECYCLE_H_
