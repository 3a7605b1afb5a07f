// NCCL without c10d: what each collective puts into the stream. Who waits for what, deadlines and
// failures: stream_collectives.h; the communicator and its streams: nccl_link.h.
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
#include "common/status_macros.h"
#include "worker/jepa/dist/nccl_link.h"
#include "worker/jepa/dist/stream_collectives.h"
#include "worker/jepa/kernels/element.h"
#include "worker/jepa/plan/flat_ranges.h"

namespace jepa {
namespace {

constexpr char kIdKey[] = "nccl/id";
constexpr std::chrono::microseconds kDoze(50);  // Costs no core; a step is milliseconds.
constexpr absl::Duration kGoodbye = absl::Seconds(5);

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

bool Sound(ncclResult_t result) { return result == ncclSuccess || result == ncclInProgress; }

// Collectives run on a stream of their own, so that they go on beside what the training thread's
// stream computes. Those of host memory, and others that were not told StartAfter, are waited for.
class NcclCommunicator : public Communicator {
 public:
  NcclCommunicator(const TrainConfig& config, absl::Duration timeout)
      : rank_(config.rank),
        world_size_(config.world_size),
        device_(config.device_index),
        timeout_(timeout),
        link_(config.device_index) {
    collectives_.emplace(link_,
                         StreamOptions{.who = absl::StrCat("rank ", rank_, " of ", world_size_),
                                       .timeout = timeout,
                                       .doze = [] { std::this_thread::sleep_for(kDoze); }});
  }

  ~NcclCommunicator() override {
    const bool sound = collectives_->status().ok();
    collectives_.reset();
    // What peers still have to receive is flushed; a peer that is gone costs kGoodbye at most.
    if (sound) link_.Leave(kGoodbye).IgnoreError();
    link_.LetGo();  // Before memory is freed, which waits for the device.
  }

  absl::Status Connect(Rendezvous& rendezvous) {
    IJEPA_RETURN_IF_ERROR(link_.Open());
    ncclUniqueId id{};
    IJEPA_RETURN_IF_ERROR(ShareId(rendezvous, id));
    absl::Status met = link_.Meet(id, rank_, world_size_);
    if (met.ok()) met = collectives_->WaitForHost("meeting of the ranks");
    if (!met.ok()) collectives_->Abort(met);
    return met;
  }

  int rank() const override { return rank_; }
  int world_size() const override { return world_size_; }

  absl::Status AllReduceSum(float* data, int64_t count) override {
    return InPlace(data, count, "all-reduce", [&](float* on_device) {
      return link_.Call("all-reduce", [&](ncclComm_t comm) {
        return ncclAllReduce(on_device, on_device, static_cast<size_t>(count), ncclFloat32, ncclSum,
                             comm, link_.stream());
      });
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
      IJEPA_RETURN_IF_ERROR(collectives_->WaitForHost("all-gather"));
      all.copy_(rounded);
      return absl::OkStatus();
    });
  }

  absl::Status Broadcast(float* data, int64_t count, int root) override {
    return InPlace(data, count, "broadcast", [&](float* on_device) {
      return link_.Call("broadcast", [&](ncclComm_t comm) {
        return ncclBroadcast(on_device, on_device, static_cast<size_t>(count), ncclFloat32, root,
                             comm, link_.stream());
      });
    });
  }

  absl::Status AllGather(const float* data, int64_t count, float* out) override {
    return InPlace(out, count * world_size_, "all-gather", [&](float* on_device) -> absl::Status {
      float* const mine = on_device + rank_ * count;
      IJEPA_RETURN_IF_ERROR(Copy(mine, data, count));
      return link_.Call("all-gather", [&](ncclComm_t comm) {
        return ncclAllGather(mine, on_device, static_cast<size_t>(count), ncclFloat32, comm,
                             link_.stream());
      });
    });
  }

  absl::Status Pass(float* data, int64_t count, int from, int to) override {
    return InPlace(data, count, "pass", [&](float* on_device) -> absl::Status {
      const auto size = static_cast<size_t>(count);
      if (from == to) return absl::OkStatus();
      return link_.Call("pass", [&](ncclComm_t comm) {
        return rank_ == from ? ncclSend(on_device, size, ncclFloat32, to, comm, link_.stream())
                             : ncclRecv(on_device, size, ncclFloat32, from, comm, link_.stream());
      });
    });
  }

  absl::StatusOr<float*> Borrow(int64_t count) override {
    IJEPA_RETURN_IF_ERROR(link_.Attach());
    return borrowed_.emplace().Reserve(count);
  }

  absl::Status Barrier() override {
    float one = 1;
    return AllReduceSum(&one, 1);
  }

  void Abort(const absl::Status& why) override { collectives_->Abort(why); }

  absl::StatusOr<std::unique_ptr<DevicePoint>> MarkDevice() override {
    return collectives_->Mark();
  }
  absl::Status StartAfter(const DevicePoint* point) override {
    left_to_device_ = true;
    collectives_->StartAfter(point);
    return absl::OkStatus();
  }
  absl::Status Join() override { return collectives_->Join(); }
  int64_t given() const override { return collectives_->given(); }
  absl::Status Settle(int64_t calls) override { return collectives_->Settle(calls); }

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
      return link_.Call(kName, [&](ncclComm_t comm) {
        return ncclReduceScatter(on_device, on_device + mine.begin,
                                 static_cast<size_t>(mine.size()), ncclFloat32, ncclSum, comm,
                                 link_.stream());
      });
    }
    return Grouped(kName, [&](ncclComm_t comm, int rank) {
      const FlatRange piece = Piece(count, rank);
      float* const at = on_device + piece.begin;
      return piece.size() <= 0 ? ncclSuccess
                               : ncclReduce(at, at, static_cast<size_t>(piece.size()), ncclFloat32,
                                            ncclSum, rank, comm, link_.stream());
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
    IJEPA_RETURN_IF_ERROR(Grouped(kName, [&](ncclComm_t comm, int peer) {
      const FlatRange theirs = Piece(count, peer);
      const ncclResult_t sent = ncclSend(from + theirs.begin, static_cast<size_t>(theirs.size()),
                                         ncclBfloat16, peer, comm, link_.stream());
      if (!Sound(sent)) return sent;
      return ncclRecv(to + peer * mine.size(), static_cast<size_t>(mine.size()), ncclBfloat16, peer,
                      comm, link_.stream());
    }));
    IJEPA_RETURN_IF_ERROR(collectives_->WaitForHost(kName));
    Wrap(on_device + mine.begin, mine.size()).copy_(at::sum(received, {0}, false, at::kFloat));
    return absl::OkStatus();
  }

  absl::Status GatherPieces(void* data, int64_t count, ncclDataType_t type) {
    constexpr absl::string_view kName = "all-gather";
    const int64_t width = type == ncclFloat32 ? sizeof(float) : sizeof(Bf16);
    const auto at = [&](FlatRange piece) { return static_cast<char*>(data) + piece.begin * width; };
    if (Even(count)) {
      const FlatRange mine = Piece(count, rank_);
      return link_.Call(kName, [&](ncclComm_t comm) {
        return ncclAllGather(at(mine), data, static_cast<size_t>(mine.size()), type, comm,
                             link_.stream());
      });
    }
    return Grouped(kName, [&](ncclComm_t comm, int rank) {
      const FlatRange piece = Piece(count, rank);
      return piece.size() <= 0
                 ? ncclSuccess
                 : ncclBroadcast(at(piece), at(piece), static_cast<size_t>(piece.size()), type,
                                 rank, comm, link_.stream());
    });
  }

  // Enqueues `operation(communicator, rank)` for every rank as one.
  template <typename Operation>
  absl::Status Grouped(absl::string_view name, Operation operation) {
    return link_.Call(name, [&](ncclComm_t comm) {
      ncclResult_t enqueued = ncclGroupStart();
      if (!Sound(enqueued)) return enqueued;
      for (int rank = 0; rank < world_size_ && Sound(enqueued); ++rank) {
        enqueued = operation(comm, rank);
      }
      const ncclResult_t ended = ncclGroupEnd();
      return Sound(enqueued) ? ended : enqueued;
    });
  }

  // Gives the device `operation(data on the device)`, through a staging buffer where data is in
  // host memory, and waits for it unless StartAfter left it to the device.
  template <typename Operation>
  absl::Status InPlace(float* data, int64_t count, absl::string_view name, Operation operation) {
    const bool left = std::exchange(left_to_device_, false);
    float* staged = nullptr;
    const auto enqueue = [&]() -> absl::Status {
      if (OnDevice(data)) return operation(data);
      IJEPA_ASSIGN_OR_RETURN(staged, scratch_.Reserve(count));
      IJEPA_RETURN_IF_ERROR(Copy(staged, data, count));
      return operation(staged);
    };
    IJEPA_RETURN_IF_ERROR(Give(name, enqueue));
    if (left && staged == nullptr) return absl::OkStatus();
    IJEPA_RETURN_IF_ERROR(Settle(given()));
    if (staged == nullptr) return absl::OkStatus();
    // Not before: a copy to memory that is not pinned would hold this thread until peers come.
    IJEPA_RETURN_IF_ERROR(Give("copy", [&] { return Copy(data, staged, count); }));
    return Settle(given());
  }

  // LibTorch's work in `enqueue` goes to the stream of the collectives.
  template <typename Enqueue>
  absl::Status Give(absl::string_view name, Enqueue enqueue) {
    return collectives_->Give(name, [&]() -> absl::Status {
      try {
        const c10::cuda::CUDAStreamGuard guard(c10::cuda::getStreamFromExternal(
            link_.stream(), static_cast<c10::DeviceIndex>(device_)));
        return enqueue();
      } catch (const std::exception& error) {
        return absl::InternalError(absl::StrCat(name, ": ", error.what()));
      }
    });
  }

  absl::Status Copy(float* to, const float* from, int64_t count) const {
    return CudaStatus(cudaMemcpyAsync(to, from, static_cast<size_t>(count) * sizeof(float),
                                      cudaMemcpyDefault, link_.stream()),
                      "copy of a collective's buffer");
  }

  const int rank_;
  const int world_size_;
  const int device_;
  const absl::Duration timeout_;
  NcclLink link_;
  std::optional<StreamCollectives> collectives_;  // Until the destructor.
  bool left_to_device_ = false;  // StartAfter has said what the next call waits for.
  DeviceScratch scratch_;
  std::optional<DeviceScratch> borrowed_;
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
