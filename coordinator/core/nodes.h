// What workers say of their nodes: hello, reports, silence.
#ifndef IJEPA_COORDINATOR_CORE_NODES_H_
#define IJEPA_COORDINATOR_CORE_NODES_H_

#include "coordinator/core/command.h"
#include "coordinator/core/turn.h"

namespace ijepa::coordinator {

// Registers the node on this stream, replaces an older stream, welcomes it, and takes its report.
void HandleHello(Turn& turn, const WorkerHello& command);
// Takes the whole observed state of the node and answers with its desired state.
void HandleReport(Turn& turn, const WorkerReport& command);
void HandleStreamClosed(Turn& turn, const StreamClosed& command);

// Leases: READY -> UNREACHABLE -> LOST by silence. `stalled`: how long the coordinator itself stood
// still, which is not the nodes' silence.
void JudgeNodes(Turn& turn, absl::Duration stalled);

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_CORE_NODES_H_
