// What the network between the ranks of an attempt gives, measured before they train: a cable, a
// switch port or a wrong interface that makes every step slow shows in the first seconds, with the
// names of the nodes. LibTorch-free.
//
// The ranks form a ring in their order; a link is what a rank receives from the one before it.
// Links are measured one direction at a time and so that no rank is on two at once, alternate links
// of the ring together. Only buffers of the check's own are touched.
#ifndef IJEPA_WORKER_JEPA_DIST_NETWORK_CHECK_H_
#define IJEPA_WORKER_JEPA_DIST_NETWORK_CHECK_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/clock.h"
#include "worker/jepa/config.h"
#include "worker/jepa/dist/communicator.h"
#include "worker/jepa/run_host.h"

namespace jepa {

// The same on every rank. Index r: rank r.
struct NetworkFigures {
  int64_t bytes = 0;  // Of each all-reduce and of each pass over a link.
  double bus_gigabytes_per_second = 0;
  double seconds = 0;               // Of the whole check, at this rank.
  std::vector<std::string> nodes;   // First 64 bytes of their names.
  std::vector<double> gbps;         // Gbit/s received from the rank before it.
  bool judge_within_nodes = false;  // GPUs: the links within a node are links.
};

// Measures. Called by every rank, for config.world_size > 1. The size follows from a first small
// all-reduce, so that the check takes about 2 s at most on CUDA (up to 64 MiB) and 20 ms among the
// CPU ranks of one machine (up to 1 MiB). Errors: those of the communicator.
absl::StatusOr<NetworkFigures> MeasureNetwork(const TrainConfig& config, Communicator& peers,
                                              ijepa::Clock& clock);

// Names slow links: below min_gbps (0: none is), or below half of the median of their kind where
// that has three links or more. Kinds are links within nodes and links between nodes. Pure.
NetworkReport JudgeNetwork(const NetworkFigures& figures, double min_gbps);

// Where the verdict has a link below min_gbps, the error of rank `rank`: Aborted, and at the
// culprit with kSlowLinkPayload. The culprit is the end of such links that is on the node with most
// ends of them; of two nodes with as many, the one that receives over the slowest. Pure.
absl::Status NetworkError(const NetworkReport& report, double min_gbps, int rank);

// All of it, before training: measures, reports to the host (rank 0), and fails where a link is
// below config.network.min_gbps. Nothing where config.network.check is off or the rank is alone.
absl::Status CheckNetwork(const TrainConfig& config, Communicator& peers, RunHost& host,
                          ijepa::Clock& clock);

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_DIST_NETWORK_CHECK_H_
