// See nccl_link.h.
#include "worker/jepa/dist/nccl_link.h"

#include <c10/cuda/CUDAStream.h>

#include <chrono>
#include <string>
#include <thread>

#include "absl/strings/str_cat.h"
#include "common/clock.h"
#include "common/status_macros.h"

namespace jepa {
namespace {

constexpr std::chrono::milliseconds kGoodbyeDoze(1);

class CudaEvent : public CollectiveDevice::Event {
 public:
  explicit CudaEvent(cudaEvent_t event) : event_(event) {}
  CudaEvent(const CudaEvent&) = delete;
  CudaEvent& operator=(const CudaEvent&) = delete;
  ~CudaEvent() override { cudaEventDestroy(event_); }

  absl::StatusOr<bool> Reached() const override {
    const cudaError_t state = cudaEventQuery(event_);
    if (state == cudaErrorNotReady) return false;
    IJEPA_RETURN_IF_ERROR(CudaStatus(state, "collectives"));
    return true;
  }
  cudaEvent_t event() const { return event_; }

 private:
  cudaEvent_t event_;
};

cudaEvent_t CudaOf(const CollectiveDevice::Event& event) {
  return static_cast<const CudaEvent&>(event).event();
}

}  // namespace

absl::Status CudaStatus(cudaError_t error, absl::string_view doing) {
  if (error == cudaSuccess) return absl::OkStatus();
  const std::string message = absl::StrCat("CUDA: ", doing, ": ", cudaGetErrorString(error));
  if (error == cudaErrorMemoryAllocation) return absl::ResourceExhaustedError(message);
  return absl::InternalError(message);
}

absl::Status NcclStatus(ncclResult_t result, ncclComm_t communicator, absl::string_view doing) {
  if (result == ncclSuccess || result == ncclInProgress) return absl::OkStatus();
  const std::string message = absl::StrCat("NCCL: ", doing, ": ", ncclGetErrorString(result), ": ",
                                           ncclGetLastError(communicator));
  if (result == ncclRemoteError || result == ncclSystemError) return absl::AbortedError(message);
  return absl::InternalError(message);
}

NcclLink::~NcclLink() {
  LetGo();
  if (stream_ != nullptr) cudaStreamDestroy(stream_);
}

absl::Status NcclLink::LeftStatus(absl::string_view name) {
  return absl::AbortedError(absl::StrCat("NCCL: ", name, ": this rank has left its peers"));
}

absl::Status NcclLink::Open() {
  IJEPA_RETURN_IF_ERROR(Attach());
  int low = 0, high = 0;
  IJEPA_RETURN_IF_ERROR(
      CudaStatus(cudaDeviceGetStreamPriorityRange(&low, &high), "stream priorities"));
  return CudaStatus(cudaStreamCreateWithPriority(&stream_, cudaStreamNonBlocking, high),
                    "stream of the collectives");
}

absl::Status NcclLink::Meet(const ncclUniqueId& id, int rank, int world_size) {
  ncclConfig_t options = NCCL_CONFIG_INITIALIZER;
  options.blocking = 0;
  const std::lock_guard<std::mutex> lock(mutex_);
  return NcclStatus(ncclCommInitRankConfig(&communicator_, world_size, id, rank, &options),
                    communicator_, "meeting of the ranks");
}

absl::Status NcclLink::Leave(absl::Duration timeout) {
  constexpr absl::string_view kName = "goodbye";
  ijepa::Clock& clock = ijepa::Clock::Real();
  const absl::Duration deadline = clock.Monotonic() + timeout;
  IJEPA_RETURN_IF_ERROR(Call(kName, [](ncclComm_t comm) { return ncclCommFinalize(comm); }));
  for (;;) {
    IJEPA_ASSIGN_OR_RETURN(const bool flushed, HostIsDone());
    if (flushed) break;
    if (clock.Monotonic() > deadline) return absl::DeadlineExceededError("NCCL: goodbye");
    std::this_thread::sleep_for(kGoodbyeDoze);
  }
  const std::lock_guard<std::mutex> lock(mutex_);
  return NcclStatus(ncclCommDestroy(std::exchange(communicator_, nullptr)), nullptr, kName);
}

absl::Status NcclLink::Attach() {
  return CudaStatus(cudaSetDevice(device_), absl::StrCat("device ", device_));
}

cudaStream_t NcclLink::StreamOf(DeviceStream stream) const {
  if (stream == DeviceStream::kCollectives) return stream_;
  return c10::cuda::getCurrentCUDAStream(static_cast<c10::DeviceIndex>(device_));
}

absl::StatusOr<std::unique_ptr<CollectiveDevice::Event>> NcclLink::NewEvent() {
  cudaEvent_t event = nullptr;
  IJEPA_RETURN_IF_ERROR(
      CudaStatus(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "event"));
  return std::make_unique<CudaEvent>(event);
}

absl::Status NcclLink::Record(DeviceStream stream, Event& event) {
  return CudaStatus(cudaEventRecord(CudaOf(event), StreamOf(stream)), "event");
}

absl::Status NcclLink::Wait(DeviceStream stream, const Event& event) {
  return CudaStatus(cudaStreamWaitEvent(StreamOf(stream), CudaOf(event), 0), "order of streams");
}

absl::StatusOr<bool> NcclLink::HostIsDone() {
  constexpr absl::string_view kName = "peers or network";
  ncclResult_t state = ncclSuccess;
  const std::lock_guard<std::mutex> lock(mutex_);
  if (communicator_ == nullptr) return LeftStatus(kName);
  IJEPA_RETURN_IF_ERROR(
      NcclStatus(ncclCommGetAsyncError(communicator_, &state), communicator_, kName));
  IJEPA_RETURN_IF_ERROR(NcclStatus(state, communicator_, kName));
  return state == ncclSuccess;
}

void NcclLink::LetGo() {
  ncclComm_t left = nullptr;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    left = std::exchange(communicator_, nullptr);
  }
  // Outside the lock: it waits for kernels to end, and may hang.
  if (left != nullptr) ncclCommAbort(left);
}

}  // namespace jepa
