// Messages of ranks, passed on by their workers.
#ifndef IJEPA_COORDINATOR_CORE_RANKS_H_
#define IJEPA_COORDINATOR_CORE_RANKS_H_

#include "coordinator/core/command.h"
#include "coordinator/core/turn.h"

namespace ijepa::coordinator {

// Takes a message of a rank of a live gang, from the node that the rank was placed on; any other
// rank is told that it is superseded. What carries a sequence is answered once its effect is
// durable.
void HandleRankMessage(Turn& turn, const FromRankOn& command);

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_CORE_RANKS_H_
