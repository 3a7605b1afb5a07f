// Collectives among the ranks of one attempt: a world of one, Gloo over TCP (CPU), NCCL (CUDA).
// Every call ends within the communicator's timeout, with an error if it must; after any error the
// communicator is broken and every later call returns the same error at once. Torch-free header.
//
// A gang that lost a rank is restarted as the next generation, which meets anew: NCCL's shrink
// (ncclCommShrink) would spare that meeting, but not the restore from the last checkpoint.
#ifndef IJEPA_WORKER_JEPA_DIST_COMMUNICATOR_H_
#define IJEPA_WORKER_JEPA_DIST_COMMUNICATOR_H_

#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "worker/jepa/config.h"
#include "worker/jepa/run_host.h"

namespace jepa {

// A point in the work that a device was given.
class DevicePoint {
 public:
  virtual ~DevicePoint() = default;
};

// Buffers are contiguous, in host memory; for NCCL also on the rank's device. A call returns when
// the result is in the buffer, unless StartAfter left it to the device. All ranks make the same
// calls in the same order, one at a time: by the training thread, or by the thread of a
// GradientExchange while that is at work. Errors: Aborted (a peer is gone), DeadlineExceeded (a
// peer hangs), or what Abort was told.
//
// Sums: on a CPU each element is added in the order of ranks, so the bits do not depend on how a
// buffer is cut into calls or pieces. On CUDA they are the same on every rank, and in every run
// with the same calls.
class Communicator {
 public:
  virtual ~Communicator() = default;
  virtual int rank() const = 0;
  virtual int world_size() const = 0;

  // data[0, count) becomes the sum over ranks.
  virtual absl::Status AllReduceSum(float* data, int64_t count) = 0;
  // data[PieceOf(count, rank(), world_size())] becomes the sum over ranks; the rest of data is left
  // as it is. Over the wire kBf16: addends are rounded to bf16, the sum is fp32.
  virtual absl::Status ReduceScatterSum(float* data, int64_t count, Precision wire) = 0;
  // data[PieceOf(count, r, world_size())] becomes rank r's, for every r. Over the wire kBf16: it is
  // rounded to bf16, on rank r too.
  virtual absl::Status AllGatherPieces(float* data, int64_t count, Precision wire) = 0;
  // data[0, count) becomes root's.
  virtual absl::Status Broadcast(float* data, int64_t count, int root) = 0;
  // out[r * count, (r + 1) * count) becomes rank r's data[0, count).
  virtual absl::Status AllGather(const float* data, int64_t count, float* out) = 0;
  // data[0, count) of rank `to` becomes rank `from`'s. Every rank calls, each with the one link
  // that it is an end of, or with from = to for none.
  virtual absl::Status Pass(float* data, int64_t count, int from, int to) = 0;
  // Returns when every rank has called.
  virtual absl::Status Barrier() = 0;

  // Memory for `count` floats, not initialised, from which calls need no copy: on the device. Null
  // where there is none. The communicator's, until the next call; 0 gives it back.
  virtual absl::StatusOr<float*> Borrow(int64_t /*count*/) { return nullptr; }

  // Any thread: ends the call under way and every later one with `why`, which is not OK. Peers find
  // this rank gone. The first reason stays.
  virtual void Abort(const absl::Status& why) = 0;

  // What the calling thread has given the device so far; null where there is no device. Any thread.
  virtual absl::StatusOr<std::unique_ptr<DevicePoint>> MarkDevice() { return nullptr; }
  // Leaves the next call to the device, where there is one and the buffer is there. The call begins
  // there once `point` is reached (null: at once), instead of after what its thread has given the
  // device, and returns when the device has it to do. Calls begin one after the other.
  virtual absl::Status StartAfter(const DevicePoint* /*point*/) { return absl::OkStatus(); }
  // What the calling thread gives the device from now on begins after the calls that it was left.
  // Waits for nothing.
  virtual absl::Status Join() { return absl::OkStatus(); }
  // How many calls the device was left so far; 0 where nothing ever is.
  virtual int64_t given() const { return 0; }
  // Returns when the device has done the first `calls` of them. A call that fails on the device may
  // end there, with garbage: what comes of it is good only where this returns OK. Errors as those
  // of calls. The training thread.
  virtual absl::Status Settle(int64_t /*calls*/) { return absl::OkStatus(); }
};

// Meets the peers through `rendezvous` (keys "gloo/..." or "nccl/id") and connects. `timeout`
// bounds the meeting and, afterwards, each call.
absl::StatusOr<std::unique_ptr<Communicator>> NewCommunicator(const TrainConfig& config,
                                                              Rendezvous& rendezvous,
                                                              absl::Duration timeout);

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_DIST_COMMUNICATOR_H_
