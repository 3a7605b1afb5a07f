// Tables of things that are no job: checkpoints, nodes, queues.
#ifndef IJEPA_CLIENT_RENDER_SECTIONS_H_
#define IJEPA_CLIENT_RENDER_SECTIONS_H_

#include "absl/time/time.h"
#include "client/render/table.h"
#include "ijepa/v1/coordinator.pb.h"

namespace ijepa::client {

// Ages are counted to `now`.
Table CheckpointTable(const v1::ListCheckpointsResponse& list, absl::Time now);
Table NodeTable(const v1::ListNodesResponse& list, absl::Time now);
// Machines of the backends, which `list` names beside its nodes.
Table BackendNodeTable(const v1::ListNodesResponse& list, absl::Time now);
// What a queue holds beyond its quota is borrowed.
Table QueueTable(const v1::ListQueuesResponse& list);

}  // namespace ijepa::client

#endif  // IJEPA_CLIENT_RENDER_SECTIONS_H_
