// NCCL without c10d: a non-blocking communicator, polled on the host until the deadline, so that a
// dead or hung peer ends in a status and not in a stuck stream. After any failure the communicator
// is aborted, which also releases kernels that wait on the device.
#include "worker/jepa/dist/nccl_communicator.h"

#include <c10/cuda/CUDAStream.h>
#include <cuda_runtime_api.h>
#include <nccl.h>

#include <chrono>
#include <cstring>
#include <string>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/clock.h"
#include "common/status_macros.h"

namespace jepa {
namespace {

constexpr char kIdKey[] = "nccl/id";
// A wait is a spin for the length of a fast all-reduce, then a doze that costs no core.
constexpr absl::Duration kSpin = absl::Milliseconds(1);
constexpr std::chrono::microseconds kDoze(50);
constexpr absl::Duration kGoodbye = absl::Seconds(5);

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

// Memory on the device that grows and stays; stages host buffers.
class DeviceScratch {
 public:
  DeviceScratch() = default;
  DeviceScratch(const DeviceScratch&) = delete;
  DeviceScratch& operator=(const DeviceScratch&) = delete;
  ~DeviceScratch() { cudaFree(data_); }

  absl::StatusOr<float*> Reserve(int64_t count) {
    if (count > count_) {
      cudaFree(data_);
      data_ = nullptr;
      count_ = 0;
      IJEPA_RETURN_IF_ERROR(
          CudaStatus(cudaMalloc(&data_, static_cast<size_t>(count) * sizeof(float)),
                     "staging buffer of a collective"));
      count_ = count;
    }
    return static_cast<float*>(data_);
  }

 private:
  void* data_ = nullptr;
  int64_t count_ = 0;
};

bool OnDevice(const void* data) {
  cudaPointerAttributes attributes{};
  if (cudaPointerGetAttributes(&attributes, data) != cudaSuccess) {
    cudaGetLastError();  // A host pointer is no error of the stream.
    return false;
  }
  return attributes.type == cudaMemoryTypeDevice || attributes.type == cudaMemoryTypeManaged;
}

class NcclCommunicator : public Communicator {
 public:
  NcclCommunicator(const TrainConfig& config, absl::Duration timeout)
      : rank_(config.rank),
        world_size_(config.world_size),
        device_(config.device_index),
        timeout_(timeout) {}

  ~NcclCommunicator() override {
    // What peers still have to receive is flushed; a peer that is gone costs kGoodbye at most.
    if (communicator_ != nullptr && broken_.ok()) {
      const absl::Duration deadline = ijepa::Clock::Real().Monotonic() + kGoodbye;
      broken_ = NcclStatus(ncclCommFinalize(communicator_), communicator_, "goodbye");
      if (broken_.ok()) broken_ = PollUntilReady("goodbye", deadline);
      if (broken_.ok()) ncclCommDestroy(communicator_);
      if (!broken_.ok()) ncclCommAbort(communicator_);
    } else if (communicator_ != nullptr) {
      ncclCommAbort(communicator_);
    }
    if (done_ != nullptr) cudaEventDestroy(done_);
  }

  absl::Status Connect(Rendezvous& rendezvous) {
    IJEPA_RETURN_IF_ERROR(CudaStatus(cudaSetDevice(device_), absl::StrCat("device ", device_)));
    IJEPA_RETURN_IF_ERROR(
        CudaStatus(cudaEventCreateWithFlags(&done_, cudaEventDisableTiming), "event"));
    const absl::Duration deadline = ijepa::Clock::Real().Monotonic() + timeout_;
    ncclUniqueId id{};
    IJEPA_RETURN_IF_ERROR(ShareId(rendezvous, id));
    ncclConfig_t options = NCCL_CONFIG_INITIALIZER;
    options.blocking = 0;
    IJEPA_RETURN_IF_ERROR(
        NcclStatus(ncclCommInitRankConfig(&communicator_, world_size_, id, rank_, &options),
                   communicator_, "meeting of the ranks"));
    absl::Status met = PollUntilReady("meeting of the ranks", deadline);
    if (!met.ok()) broken_ = met;
    return met;
  }

  int rank() const override { return rank_; }
  int world_size() const override { return world_size_; }

  absl::Status AllReduceSum(float* data, int64_t count) override {
    return Staged({data, count}, {data, count}, "all-reduce",
                  [&](const float* in, float* out, cudaStream_t stream) {
                    return ncclAllReduce(in, out, static_cast<size_t>(count), ncclFloat32, ncclSum,
                                         communicator_, stream);
                  });
  }

  absl::Status Broadcast(float* data, int64_t count, int root) override {
    return Staged({data, count}, {data, count}, "broadcast",
                  [&](const float* in, float* out, cudaStream_t stream) {
                    return ncclBroadcast(in, out, static_cast<size_t>(count), ncclFloat32, root,
                                         communicator_, stream);
                  });
  }

  absl::Status AllGather(const float* data, int64_t count, float* out) override {
    return Staged({data, count}, {out, count * world_size_}, "all-gather",
                  [&](const float* in, float* gathered, cudaStream_t stream) {
                    return ncclAllGather(in, gathered, static_cast<size_t>(count), ncclFloat32,
                                         communicator_, stream);
                  });
  }

  absl::Status Barrier() override {
    float one = 1;
    return AllReduceSum(&one, 1);
  }

 private:
  struct Input {
    const float* data;
    int64_t count;
  };
  struct Output {
    float* data;
    int64_t count;
  };

  absl::Status ShareId(Rendezvous& rendezvous, ncclUniqueId& id) {
    if (rank_ == 0) {
      IJEPA_RETURN_IF_ERROR(NcclStatus(ncclGetUniqueId(&id), nullptr, "unique id"));
      return rendezvous.Put(kIdKey, absl::string_view(id.internal, sizeof(id.internal)));
    }
    IJEPA_ASSIGN_OR_RETURN(const std::string value, rendezvous.Get(kIdKey, timeout_));
    if (value.size() != sizeof(id.internal)) {
      return absl::InternalError(absl::StrCat("rendezvous key ", kIdKey, " has ", value.size(),
                                              " bytes; must have ", sizeof(id.internal)));
    }
    std::memcpy(id.internal, value.data(), value.size());
    return absl::OkStatus();
  }

  // Runs `collective(in, out, stream)` on device memory, through a staging buffer where a side is
  // in host memory, and waits for it. Breaks the communicator on failure.
  template <typename Collective>
  absl::Status Staged(Input in, Output out, absl::string_view name, Collective collective) {
    if (!broken_.ok()) return broken_;
    broken_ = RunStaged(in, out, name, collective);
    if (!broken_.ok() && communicator_ != nullptr) {
      ncclCommAbort(communicator_);
      communicator_ = nullptr;
    }
    return broken_;
  }

  template <typename Collective>
  absl::Status RunStaged(Input in, Output out, absl::string_view name, Collective collective) {
    const cudaStream_t stream = c10::cuda::getCurrentCUDAStream(static_cast<int8_t>(device_));
    const absl::Duration deadline = ijepa::Clock::Real().Monotonic() + timeout_;
    const float* device_in = in.data;
    float* device_out = out.data;
    const bool stage_in = !OnDevice(in.data);
    const bool stage_out = !OnDevice(out.data);
    if (stage_in) {
      IJEPA_ASSIGN_OR_RETURN(float* const staged, in_.Reserve(in.count));
      IJEPA_RETURN_IF_ERROR(Copy(staged, in.data, in.count, stream));
      device_in = staged;
    }
    if (stage_out) {
      IJEPA_ASSIGN_OR_RETURN(device_out, out_.Reserve(out.count));
    }
    IJEPA_RETURN_IF_ERROR(
        NcclStatus(collective(device_in, device_out, stream), communicator_, name));
    IJEPA_RETURN_IF_ERROR(PollUntilReady(name, deadline));
    if (stage_out) IJEPA_RETURN_IF_ERROR(Copy(out.data, device_out, out.count, stream));
    IJEPA_RETURN_IF_ERROR(CudaStatus(cudaEventRecord(done_, stream), name));
    return PollUntilDone(name, deadline);
  }

  static absl::Status Copy(float* to, const float* from, int64_t count, cudaStream_t stream) {
    return CudaStatus(cudaMemcpyAsync(to, from, static_cast<size_t>(count) * sizeof(float),
                                      cudaMemcpyDefault, stream),
                      "copy of a collective's buffer");
  }

  // Until NCCL has finished what it does on the host.
  absl::Status PollUntilReady(absl::string_view name, absl::Duration deadline) {
    return Poll(name, deadline, [&]() -> absl::StatusOr<bool> {
      ncclResult_t state = ncclSuccess;
      IJEPA_RETURN_IF_ERROR(
          NcclStatus(ncclCommGetAsyncError(communicator_, &state), communicator_, name));
      IJEPA_RETURN_IF_ERROR(NcclStatus(state, communicator_, name));
      return state == ncclSuccess;
    });
  }

  // Until the device has reached the event, watching for errors of the network meanwhile.
  absl::Status PollUntilDone(absl::string_view name, absl::Duration deadline) {
    return Poll(name, deadline, [&]() -> absl::StatusOr<bool> {
      const cudaError_t state = cudaEventQuery(done_);
      if (state == cudaSuccess) return true;
      if (state != cudaErrorNotReady) return CudaStatus(state, name);
      ncclResult_t async = ncclSuccess;
      IJEPA_RETURN_IF_ERROR(
          NcclStatus(ncclCommGetAsyncError(communicator_, &async), communicator_, name));
      IJEPA_RETURN_IF_ERROR(NcclStatus(async, communicator_, name));
      return false;
    });
  }

  template <typename Ready>
  absl::Status Poll(absl::string_view name, absl::Duration deadline, Ready ready) {
    ijepa::Clock& clock = ijepa::Clock::Real();
    const absl::Duration doze_from = clock.Monotonic() + kSpin;
    for (;;) {
      IJEPA_ASSIGN_OR_RETURN(const bool is_ready, ready());
      if (is_ready) return absl::OkStatus();
      const absl::Duration now = clock.Monotonic();
      if (now > deadline) {
        return absl::DeadlineExceededError(
            absl::StrCat("rank ", rank_, " of ", world_size_, ": no ", name, " within ",
                         absl::FormatDuration(timeout_), "; a peer hangs"));
      }
      if (now > doze_from) std::this_thread::sleep_for(kDoze);
    }
  }

  const int rank_;
  const int world_size_;
  const int device_;
  const absl::Duration timeout_;
  cudaEvent_t done_ = nullptr;
  DeviceScratch in_;
  DeviceScratch out_;
  ncclComm_t communicator_ = nullptr;
  absl::Status broken_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Communicator>> NewNcclCommunicator(const TrainConfig& config,
                                                                  Rendezvous& rendezvous,
                                                                  absl::Duration timeout) {
  auto communicator = std::make_unique<NcclCommunicator>(config, timeout);
  IJEPA_RETURN_IF_ERROR(communicator->Connect(rendezvous));
  return communicator;
}

}  // namespace jepa
