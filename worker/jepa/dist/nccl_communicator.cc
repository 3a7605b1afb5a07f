// NCCL without c10d: a non-blocking communicator, polled on the host until the deadline, so that a
// dead or hung peer ends in a status and not in a stuck stream. After any failure the communicator
// is aborted, which also releases kernels that wait on the device.
#include "worker/jepa/dist/nccl_communicator.h"

#include <ATen/ATen.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <cuda_runtime_api.h>
#include <nccl.h>

#include <chrono>
#include <cstring>
#include <exception>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/clock.h"
#include "common/status_macros.h"
#include "worker/jepa/dist/failure.h"
#include "worker/jepa/kernels/element.h"
#include "worker/jepa/plan/flat_ranges.h"

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

class DeviceEvent : public DevicePoint {
 public:
  DeviceEvent() = default;
  DeviceEvent(const DeviceEvent&) = delete;
  DeviceEvent& operator=(const DeviceEvent&) = delete;
  ~DeviceEvent() override {
    if (event_ != nullptr) cudaEventDestroy(event_);
  }

  // Marks the end of what `stream` has been given.
  absl::Status Record(cudaStream_t stream) {
    if (event_ == nullptr) {
      IJEPA_RETURN_IF_ERROR(
          CudaStatus(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming), "event"));
    }
    return CudaStatus(cudaEventRecord(event_, stream), "event");
  }
  cudaEvent_t event() const { return event_; }

 private:
  cudaEvent_t event_ = nullptr;
};

bool OnDevice(const void* data) {
  cudaPointerAttributes attributes{};
  if (cudaPointerGetAttributes(&attributes, data) != cudaSuccess) {
    cudaGetLastError();  // A host pointer is no error of the stream.
    return false;
  }
  return attributes.type == cudaMemoryTypeDevice || attributes.type == cudaMemoryTypeManaged;
}

// Collectives run on a stream of their own, so that they go on beside what the training thread's
// stream computes.
class NcclCommunicator : public Communicator {
 public:
  NcclCommunicator(const TrainConfig& config, absl::Duration timeout)
      : rank_(config.rank),
        world_size_(config.world_size),
        device_(config.device_index),
        timeout_(timeout) {}

  ~NcclCommunicator() override {
    // What peers still have to receive is flushed; a peer that is gone costs kGoodbye at most.
    if (communicator_ != nullptr && failure_.status().ok()) {
      deadline_ = ijepa::Clock::Real().Monotonic() + kGoodbye;
      absl::Status left = NcclStatus(ncclCommFinalize(communicator_), communicator_, "goodbye");
      if (left.ok()) left = PollUntilReady("goodbye");
      if (left.ok()) {
        ncclCommDestroy(communicator_);
        communicator_ = nullptr;
      }
    }
    Drop();
    if (stream_ != nullptr) cudaStreamDestroy(stream_);
  }

  absl::Status Connect(Rendezvous& rendezvous) {
    IJEPA_RETURN_IF_ERROR(CudaStatus(cudaSetDevice(device_), absl::StrCat("device ", device_)));
    int low = 0, high = 0;
    IJEPA_RETURN_IF_ERROR(
        CudaStatus(cudaDeviceGetStreamPriorityRange(&low, &high), "stream priorities"));
    IJEPA_RETURN_IF_ERROR(
        CudaStatus(cudaStreamCreateWithPriority(&stream_, cudaStreamNonBlocking, high),
                   "stream of the collectives"));
    deadline_ = ijepa::Clock::Real().Monotonic() + timeout_;
    ncclUniqueId id{};
    IJEPA_RETURN_IF_ERROR(ShareId(rendezvous, id));
    ncclConfig_t options = NCCL_CONFIG_INITIALIZER;
    options.blocking = 0;
    absl::Status met =
        NcclStatus(ncclCommInitRankConfig(&communicator_, world_size_, id, rank_, &options),
                   communicator_, "meeting of the ranks");
    if (met.ok()) met = PollUntilReady("meeting of the ranks");
    if (!met.ok()) failure_.Set(met);
    return met;
  }

  int rank() const override { return rank_; }
  int world_size() const override { return world_size_; }

  absl::Status AllReduceSum(float* data, int64_t count) override {
    return InPlace(data, count, "all-reduce", [&](float* on_device) {
      return Nccl(ncclAllReduce(on_device, on_device, static_cast<size_t>(count), ncclFloat32,
                                ncclSum, communicator_, stream_),
                  "all-reduce");
    });
  }

  absl::Status ReduceScatterSum(float* data, int64_t count, Precision wire) override {
    return InPlace(data, count, "reduce-scatter", [&](float* on_device) {
      return wire == Precision::kFp32 ? ReduceScatter(on_device, count)
                                      : ReduceScatterBf16(on_device, count);
    });
  }

  absl::Status AllGatherPieces(float* data, int64_t count, Precision wire) override {
    return InPlace(data, count, "all-gather", [&](float* on_device) {
      if (wire == Precision::kFp32) return GatherPieces(on_device, count, ncclFloat32);
      const at::Tensor all = Wrap(on_device, count);
      const at::Tensor rounded = all.to(at::kBFloat16);
      IJEPA_RETURN_IF_ERROR(GatherPieces(rounded.data_ptr(), count, ncclBfloat16));
      IJEPA_RETURN_IF_ERROR(PollUntilReady("all-gather"));
      all.copy_(rounded);
      return absl::OkStatus();
    });
  }

  absl::Status Broadcast(float* data, int64_t count, int root) override {
    return InPlace(data, count, "broadcast", [&](float* on_device) {
      return Nccl(ncclBroadcast(on_device, on_device, static_cast<size_t>(count), ncclFloat32, root,
                                communicator_, stream_),
                  "broadcast");
    });
  }

  absl::Status AllGather(const float* data, int64_t count, float* out) override {
    return InPlace(out, count * world_size_, "all-gather", [&](float* on_device) -> absl::Status {
      float* const mine = on_device + rank_ * count;
      IJEPA_RETURN_IF_ERROR(Copy(mine, data, count));
      return Nccl(ncclAllGather(mine, on_device, static_cast<size_t>(count), ncclFloat32,
                                communicator_, stream_),
                  "all-gather");
    });
  }

  absl::Status Pass(float* data, int64_t count, int from, int to) override {
    return InPlace(data, count, "pass", [&](float* on_device) -> absl::Status {
      const auto size = static_cast<size_t>(count);
      if (from == to) return absl::OkStatus();
      if (rank_ == from) {
        return Nccl(ncclSend(on_device, size, ncclFloat32, to, communicator_, stream_), "pass");
      }
      return Nccl(ncclRecv(on_device, size, ncclFloat32, from, communicator_, stream_), "pass");
    });
  }

  absl::StatusOr<float*> Borrow(int64_t count) override {
    IJEPA_RETURN_IF_ERROR(CudaStatus(cudaSetDevice(device_), "memory of the caller"));
    return borrowed_.emplace().Reserve(count);
  }

  absl::Status Barrier() override {
    float one = 1;
    return AllReduceSum(&one, 1);
  }

  // The call under way polls for it; NCCL is only ever touched by the calling thread.
  void Abort(const absl::Status& why) override { failure_.Set(why); }

  absl::StatusOr<std::unique_ptr<DevicePoint>> MarkDevice() override {
    auto event = std::make_unique<DeviceEvent>();
    IJEPA_RETURN_IF_ERROR(event->Record(CallersStream()));
    return event;
  }

  absl::Status StartAfter(const DevicePoint* point) override {
    caller_is_ordered_ = true;
    if (point == nullptr) return absl::OkStatus();
    return CudaStatus(
        cudaStreamWaitEvent(stream_, static_cast<const DeviceEvent*>(point)->event(), 0),
        "order of streams");
  }

 private:
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

  absl::Status Nccl(ncclResult_t result, absl::string_view name) const {
    return NcclStatus(result, communicator_, name);
  }
  cudaStream_t CallersStream() const {
    return c10::cuda::getCurrentCUDAStream(static_cast<int8_t>(device_));
  }
  FlatRange Piece(int64_t count, int rank) const { return PieceOf(count, rank, world_size_); }
  // Whether all pieces are of one size, as NCCL's own operations on pieces demand.
  bool Even(int64_t count) const { return count == world_size_ * Piece(count, 0).size(); }

  at::Tensor Wrap(float* on_device, int64_t count) const {
    const auto index = static_cast<at::DeviceIndex>(device_);
    return at::from_blob(on_device, {count},
                         at::TensorOptions().dtype(at::kFloat).device(at::kCUDA, index));
  }

  absl::Status ReduceScatter(float* on_device, int64_t count) {
    constexpr absl::string_view kName = "reduce-scatter";
    if (Even(count)) {
      const FlatRange mine = Piece(count, rank_);
      return Nccl(
          ncclReduceScatter(on_device, on_device + mine.begin, static_cast<size_t>(mine.size()),
                            ncclFloat32, ncclSum, communicator_, stream_),
          kName);
    }
    return Grouped(kName, [&](int rank) {
      const FlatRange piece = Piece(count, rank);
      float* const at = on_device + piece.begin;
      return piece.size() <= 0 ? ncclSuccess
                               : ncclReduce(at, at, static_cast<size_t>(piece.size()), ncclFloat32,
                                            ncclSum, rank, communicator_, stream_);
    });
  }

  // NCCL would round after every addition: here pieces travel in bf16 and are added in fp32.
  absl::Status ReduceScatterBf16(float* on_device, int64_t count) {
    constexpr absl::string_view kName = "reduce-scatter";
    const FlatRange mine = Piece(count, rank_);
    const at::Tensor rounded = Wrap(on_device, count).to(at::kBFloat16);
    const at::Tensor received = at::empty({world_size_, mine.size()}, rounded.options());
    auto* const from = static_cast<Bf16*>(rounded.data_ptr());
    auto* const to = static_cast<Bf16*>(received.data_ptr());
    IJEPA_RETURN_IF_ERROR(Grouped(kName, [&](int peer) {
      const FlatRange theirs = Piece(count, peer);
      const ncclResult_t sent = ncclSend(from + theirs.begin, static_cast<size_t>(theirs.size()),
                                         ncclBfloat16, peer, communicator_, stream_);
      if (sent != ncclSuccess && sent != ncclInProgress) return sent;
      return ncclRecv(to + peer * mine.size(), static_cast<size_t>(mine.size()), ncclBfloat16, peer,
                      communicator_, stream_);
    }));
    IJEPA_RETURN_IF_ERROR(PollUntilReady(kName));
    Wrap(on_device + mine.begin, mine.size()).copy_(at::sum(received, {0}, false, at::kFloat));
    return absl::OkStatus();
  }

  absl::Status GatherPieces(void* data, int64_t count, ncclDataType_t type) {
    constexpr absl::string_view kName = "all-gather";
    const int64_t width = type == ncclFloat32 ? sizeof(float) : sizeof(Bf16);
    const auto at = [&](FlatRange piece) { return static_cast<char*>(data) + piece.begin * width; };
    if (Even(count)) {
      const FlatRange mine = Piece(count, rank_);
      return Nccl(ncclAllGather(at(mine), data, static_cast<size_t>(mine.size()), type,
                                communicator_, stream_),
                  kName);
    }
    return Grouped(kName, [&](int rank) {
      const FlatRange piece = Piece(count, rank);
      return piece.size() <= 0
                 ? ncclSuccess
                 : ncclBroadcast(at(piece), at(piece), static_cast<size_t>(piece.size()), type,
                                 rank, communicator_, stream_);
    });
  }

  // Enqueues `operation(rank)` for every rank as one.
  template <typename Operation>
  absl::Status Grouped(absl::string_view name, Operation operation) {
    IJEPA_RETURN_IF_ERROR(Nccl(ncclGroupStart(), name));
    absl::Status enqueued;
    for (int rank = 0; rank < world_size_ && enqueued.ok(); ++rank) {
      enqueued = Nccl(operation(rank), name);
    }
    const absl::Status ended = Nccl(ncclGroupEnd(), name);
    return enqueued.ok() ? ended : enqueued;
  }

  // Runs `operation(data on the device)`, through a staging buffer where data is in host memory,
  // and waits for it. Breaks the communicator on failure.
  template <typename Operation>
  absl::Status InPlace(float* data, int64_t count, absl::string_view name, Operation operation) {
    absl::Status done = failure_.status();
    if (!done.ok()) return done;
    deadline_ = ijepa::Clock::Real().Monotonic() + timeout_;
    try {
      done = RunInPlace(data, count, name, operation);
    } catch (const std::exception& error) {
      done = absl::InternalError(absl::StrCat(name, ": ", error.what()));
    }
    caller_is_ordered_ = false;
    if (done.ok()) return done;
    Drop();
    failure_.Set(done);
    return failure_.status();
  }

  template <typename Operation>
  absl::Status RunInPlace(float* data, int64_t count, absl::string_view name, Operation operation) {
    IJEPA_RETURN_IF_ERROR(CudaStatus(cudaSetDevice(device_), name));
    const c10::cuda::CUDAStream stream =
        c10::cuda::getStreamFromExternal(stream_, static_cast<c10::DeviceIndex>(device_));
    if (!caller_is_ordered_) {
      IJEPA_RETURN_IF_ERROR(called_.Record(CallersStream()));
      IJEPA_RETURN_IF_ERROR(StartAfter(&called_));
    }
    const c10::cuda::CUDAStreamGuard guard(stream);
    const bool staged = !OnDevice(data);
    float* on_device = data;
    if (staged) {
      IJEPA_ASSIGN_OR_RETURN(on_device, scratch_.Reserve(count));
      IJEPA_RETURN_IF_ERROR(Copy(on_device, data, count));
    }
    IJEPA_RETURN_IF_ERROR(operation(on_device));
    IJEPA_RETURN_IF_ERROR(PollUntilReady(name));
    if (staged) IJEPA_RETURN_IF_ERROR(Copy(data, on_device, count));
    IJEPA_RETURN_IF_ERROR(done_.Record(stream_));
    return PollUntilDone(name);
  }

  absl::Status Copy(float* to, const float* from, int64_t count) const {
    return CudaStatus(cudaMemcpyAsync(to, from, static_cast<size_t>(count) * sizeof(float),
                                      cudaMemcpyDefault, stream_),
                      "copy of a collective's buffer");
  }

  // Until NCCL has finished what it does on the host.
  absl::Status PollUntilReady(absl::string_view name) {
    return Poll(name, [&]() -> absl::StatusOr<bool> {
      ncclResult_t state = ncclSuccess;
      IJEPA_RETURN_IF_ERROR(Nccl(ncclCommGetAsyncError(communicator_, &state), name));
      IJEPA_RETURN_IF_ERROR(Nccl(state, name));
      return state == ncclSuccess;
    });
  }

  // Until the device has reached the end, watching for errors of the network meanwhile.
  absl::Status PollUntilDone(absl::string_view name) {
    return Poll(name, [&]() -> absl::StatusOr<bool> {
      const cudaError_t state = cudaEventQuery(done_.event());
      if (state == cudaSuccess) return true;
      if (state != cudaErrorNotReady) return CudaStatus(state, name);
      ncclResult_t async = ncclSuccess;
      IJEPA_RETURN_IF_ERROR(Nccl(ncclCommGetAsyncError(communicator_, &async), name));
      IJEPA_RETURN_IF_ERROR(Nccl(async, name));
      return false;
    });
  }

  template <typename Ready>
  absl::Status Poll(absl::string_view name, Ready ready) {
    ijepa::Clock& clock = ijepa::Clock::Real();
    const absl::Duration doze_from = clock.Monotonic() + kSpin;
    for (;;) {
      IJEPA_ASSIGN_OR_RETURN(const bool is_ready, ready());
      if (is_ready) return absl::OkStatus();
      IJEPA_RETURN_IF_ERROR(failure_.status());
      const absl::Duration now = clock.Monotonic();
      if (now > deadline_) {
        return absl::DeadlineExceededError(
            absl::StrCat("rank ", rank_, " of ", world_size_, ": no ", name, " within ",
                         absl::FormatDuration(timeout_), "; a peer hangs"));
      }
      if (now > doze_from) std::this_thread::sleep_for(kDoze);
    }
  }

  // Also releases kernels that wait on the device for a peer.
  void Drop() {
    if (communicator_ != nullptr) ncclCommAbort(communicator_);
    communicator_ = nullptr;
  }

  const int rank_;
  const int world_size_;
  const int device_;
  const absl::Duration timeout_;
  Failure failure_;
  // Of the calling thread.
  absl::Duration deadline_;
  bool caller_is_ordered_ = false;  // StartAfter has said what the next call waits for.
  cudaStream_t stream_ = nullptr;
  DeviceEvent called_;
  DeviceEvent done_;
  DeviceScratch scratch_;
  std::optional<DeviceScratch> borrowed_;
  ncclComm_t communicator_ = nullptr;
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
