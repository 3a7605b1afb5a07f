// Time passing: leases, deadlines, back-off, and figures that watchers are told a few times a
// second.
#ifndef IJEPA_COORDINATOR_CORE_TICK_H_
#define IJEPA_COORDINATOR_CORE_TICK_H_

#include "coordinator/core/turn.h"

namespace ijepa::coordinator {

void HandleTick(Turn& turn);

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_CORE_TICK_H_
