// Collectives among GPU ranks: NCCL.
#ifndef IJEPA_WORKER_JEPA_DIST_NCCL_COMMUNICATOR_H_
#define IJEPA_WORKER_JEPA_DIST_NCCL_COMMUNICATOR_H_

#include <memory>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "worker/jepa/config.h"
#include "worker/jepa/dist/communicator.h"
#include "worker/jepa/run_host.h"

namespace jepa {

// As NewCommunicator, on CUDA device config.device_index. Rank 0 puts the unique id under
// "nccl/id".
absl::StatusOr<std::unique_ptr<Communicator>> NewNcclCommunicator(const TrainConfig& config,
                                                                  Rendezvous& rendezvous,
                                                                  absl::Duration timeout);

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_DIST_NCCL_COMMUNICATOR_H_
