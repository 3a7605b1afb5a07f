// What a node shall run, worked out from the state alone.
#ifndef IJEPA_COORDINATOR_CORE_DESIRED_H_
#define IJEPA_COORDINATOR_CORE_DESIRED_H_

#include <string>

#include "coordinator/core/options.h"
#include "coordinator/core/state.h"

namespace ijepa::coordinator {

// All live gangs with ranks on the node, except those that are being cleared; without revision.
v1::DesiredState DesiredFor(const State& state, const std::string& name, const Node& node);

// What the ranks of the job's newest attempt are told. Same for all; rank, slot and address are the
// worker's.
v1::RankLaunch LaunchFor(const Job& job, int world_size, const CoreOptions& options);

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_CORE_DESIRED_H_
