// Collectives among CPU ranks: Gloo over TCP.
#ifndef IJEPA_WORKER_JEPA_DIST_GLOO_COMMUNICATOR_H_
#define IJEPA_WORKER_JEPA_DIST_GLOO_COMMUNICATOR_H_

#include <memory>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "worker/jepa/config.h"
#include "worker/jepa/dist/communicator.h"
#include "worker/jepa/run_host.h"

namespace jepa {

// As NewCommunicator, for config.world_size > 1. Peers reach this rank at config.host_address on a
// port that the system picks. Keys "gloo/RANK". The process must ignore SIGPIPE: Gloo writes to
// connections that a peer may have closed.
absl::StatusOr<std::unique_ptr<Communicator>> NewGlooCommunicator(const TrainConfig& config,
                                                                  Rendezvous& rendezvous,
                                                                  absl::Duration timeout);

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_DIST_GLOO_COMMUNICATOR_H_
