// Collectives among the ranks of one attempt: a world of one, Gloo over TCP (CPU), NCCL (CUDA).
// Every call has a deadline; after any error the communicator is broken and every later call
// returns the same error. Torch-free header.
#ifndef IJEPA_WORKER_JEPA_DIST_COMMUNICATOR_H_
#define IJEPA_WORKER_JEPA_DIST_COMMUNICATOR_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "worker/jepa/config.h"
#include "worker/jepa/run_host.h"

namespace jepa {

// Buffers are contiguous, in host memory; for NCCL also on the rank's device. A call returns when
// the result is in the buffer (NCCL: ordered after the work of the current stream). All ranks make
// the same calls in the same order. Not thread-safe: the training thread calls. Errors: Aborted (a
// peer is gone), DeadlineExceeded.
class Communicator {
 public:
  virtual ~Communicator() = default;
  virtual int rank() const = 0;
  virtual int world_size() const = 0;
  // data[0, count) becomes the sum over ranks; the same bits on every rank and in every run.
  virtual absl::Status AllReduceSum(float* data, int64_t count) = 0;
  // data[0, count) becomes root's.
  virtual absl::Status Broadcast(float* data, int64_t count, int root) = 0;
  // out[r * count, (r + 1) * count) becomes rank r's data[0, count).
  virtual absl::Status AllGather(const float* data, int64_t count, float* out) = 0;
  // Returns when every rank has called.
  virtual absl::Status Barrier() = 0;
};

// Meets the peers through `rendezvous` (keys "gloo/..." or "nccl/id") and connects. `timeout`
// bounds the meeting and, afterwards, each operation.
absl::StatusOr<std::unique_ptr<Communicator>> NewCommunicator(const TrainConfig& config,
                                                              Rendezvous& rendezvous,
                                                              absl::Duration timeout);

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_DIST_COMMUNICATOR_H_
