// Nodes that people take out: cordons, and windows of maintenance.
#ifndef IJEPA_COORDINATOR_CORE_MAINTENANCE_H_
#define IJEPA_COORDINATOR_CORE_MAINTENANCE_H_

#include "coordinator/core/command.h"
#include "coordinator/core/turn.h"

namespace ijepa::coordinator {

// Reply with an empty job once it is done; NotFound if there is no such node, InvalidArgument for
// windows or reasons that are not as node messages say.
void HandleCordon(Turn& turn, const CordonNode& command);
void HandleSetMaintenance(Turn& turn, const SetMaintenance& command);

// Tells gangs on nodes whose window is near to save and stop, and forgets windows that are over.
void JudgeMaintenance(Turn& turn);

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_CORE_MAINTENANCE_H_
