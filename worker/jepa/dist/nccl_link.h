// NCCL's communicator and CUDA's streams as a CollectiveDevice. Needs nccl.h.
//
// The communicator is non-blocking: a call may return before it has given the stream its work, and
// until NCCL says that it has (HostIsDone) neither the communicator nor the stream may be used.
#ifndef IJEPA_WORKER_JEPA_DIST_NCCL_LINK_H_
#define IJEPA_WORKER_JEPA_DIST_NCCL_LINK_H_

#include <cuda_runtime_api.h>
#include <nccl.h>

#include <memory>
#include <mutex>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "worker/jepa/dist/stream_collectives.h"

namespace jepa {

// OK, ResourceExhausted or Internal.
absl::Status CudaStatus(cudaError_t error, absl::string_view doing);
// OK for ncclInProgress too; Aborted for what peers and network cause, else Internal.
absl::Status NcclStatus(ncclResult_t result, ncclComm_t communicator, absl::string_view doing);

class NcclLink : public CollectiveDevice {
 public:
  explicit NcclLink(int device) : device_(device) {}
  // Lets go, unless Leave has succeeded.
  ~NcclLink() override;
  NcclLink(const NcclLink&) = delete;
  NcclLink& operator=(const NcclLink&) = delete;

  // Makes the stream of the collectives, of high priority.
  absl::Status Open();
  // Begins to meet the other ranks; they have met when HostIsDone says true.
  absl::Status Meet(const ncclUniqueId& id, int rank, int world_size);
  // Flushes what peers still have to receive, then ends the communicator. After the last call.
  absl::Status Leave(absl::Duration timeout);

  // `call(communicator)` makes one call of NCCL, or a group of them, for stream().
  template <typename NcclCall>
  absl::Status Call(absl::string_view name, NcclCall call) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (communicator_ == nullptr) return LeftStatus(name);
    return NcclStatus(call(communicator_), communicator_, name);
  }
  cudaStream_t stream() const { return stream_; }

  absl::Status Attach() override;
  absl::StatusOr<std::unique_ptr<Event>> NewEvent() override;
  absl::Status Record(DeviceStream stream, Event& event) override;
  absl::Status Wait(DeviceStream stream, const Event& event) override;
  absl::StatusOr<bool> HostIsDone() override;
  void LetGo() override;

 private:
  static absl::Status LeftStatus(absl::string_view name);
  cudaStream_t StreamOf(DeviceStream stream) const;

  const int device_;
  cudaStream_t stream_ = nullptr;  // Constant after Open.
  std::mutex mutex_;               // NCCL takes one call at a time.
  ncclComm_t communicator_ = nullptr;
};

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_DIST_NCCL_LINK_H_
