// Jobs that may run on fewer ranks than they would like (ranks: {min, max}).
//
// Such a job shrinks by failing: its next attempt starts at the largest size that fits. It grows
// here: when a checkpoint is committed and more ranks would fit, the gang saves, stops, and starts
// again larger. Global batch, order of images and schedules belong to the shards and stay the same.
#ifndef IJEPA_COORDINATOR_CORE_ELASTIC_H_
#define IJEPA_COORDINATOR_CORE_ELASTIC_H_

#include "coordinator/core/turn.h"

namespace ijepa::coordinator {

// Asks the live gang of `job` to stop at its next step if the scheduler would start the job on more
// ranks now. Queued jobs ahead of it come first.
void GrowIfRoom(Turn& turn, Job& job);

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_CORE_ELASTIC_H_
