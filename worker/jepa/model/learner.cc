// Learner over Networks and Optimizer: statuses instead of exceptions, host tensors for
// checkpoints.
#include "worker/jepa/model/learner.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/GradMode.h>
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAStream.h>
#include <malloc.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <new>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "common/status_macros.h"
#include "worker/jepa/model/attention.h"
#include "worker/jepa/model/networks.h"
#include "worker/jepa/model/optimizer.h"
#include "worker/jepa/model/patches.h"
#include "worker/jepa/model/shard_pass.h"
#include "worker/jepa/model/step_ring.h"
#include "worker/jepa/model/telemetry.h"
#include "worker/jepa/plan/flat_ranges.h"
#include "worker/jepa/plan/memory.h"
#include "worker/jepa/plan/model_line.h"

namespace jepa {
namespace {

// Images per forward pass of PooledFeatures: bounds its memory.
constexpr int kFeatureBatch = 64;
constexpr char kStepName[] = "optimizer/step";

// Runs `body`, which returns a Status or StatusOr, and turns what LibTorch throws into a status.
template <typename Body>
auto Guarded(absl::string_view doing, Body body) -> decltype(body()) {
  try {
    return body();
  } catch (const c10::OutOfMemoryError& e) {
    return absl::ResourceExhaustedError(
        absl::StrCat(doing, ": out of memory: ", e.what_without_backtrace()));
  } catch (const std::bad_alloc&) {
    return absl::ResourceExhaustedError(absl::StrCat(doing, ": out of memory"));
  } catch (const c10::Error& e) {
    const absl::string_view what = e.what_without_backtrace();
    if (absl::string_view::npos != what.find("not enough memory")) {
      return absl::ResourceExhaustedError(absl::StrCat(doing, ": ", what));
    }
    return absl::InternalError(absl::StrCat(doing, ": ", what));
  } catch (const std::exception& e) {
    return absl::InternalError(absl::StrCat(doing, ": ", e.what()));
  }
}

bool CpuHasBf16() {
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx512bf16") != 0;
#else
  return false;
#endif
}

// A step allocates and frees the same large tensors again and again; without this the C library
// gives their pages back to the system each time, which costs a tenth of a small model's step.
void KeepFreedMemory() {
#if defined(__GLIBC__)
  constexpr int kLargestMmapThreshold = 32 << 20;  // The most that mallopt accepts.
  mallopt(M_MMAP_THRESHOLD, kLargestMmapThreshold);
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
#endif
}

// oneDNN reads this when it compiles its first product. Its own bound, 1024, lets a run whose mask
// shapes vary grow by half a GB.
void BoundCompiledProducts() {
  setenv("ONEDNN_PRIMITIVE_CACHE_CAPACITY", std::to_string(kCompiledProducts).c_str(),
         /*overwrite=*/0);
}

absl::Status CheckPrecision(const TrainConfig& config) {
  if (config.precision == Precision::kBf16 && config.device == Device::kCpu && !CpuHasBf16()) {
    return absl::InvalidArgumentError(
        "precision is bf16; on a CPU it needs AVX512-BF16, which this one has not (bf16 would be 5 "
        "to 12 times slower than fp32): use precision fp32");
  }
  return absl::OkStatus();
}

absl::StatusOr<at::Device> FindDevice(const TrainConfig& config) {
  if (config.device == Device::kCpu) return at::Device(at::kCPU);
  const int64_t gpus = at::hasCUDA() ? static_cast<int64_t>(at::getNumGPUs()) : 0;
  if (config.device_index < 0 || config.device_index >= gpus) {
    return absl::InvalidArgumentError(absl::StrCat("device index is ", config.device_index,
                                                   "; this process sees ", gpus, " CUDA devices"));
  }
  return at::Device(at::kCUDA, static_cast<at::DeviceIndex>(config.device_index));
}

absl::Status CheckBlocks(const std::vector<std::vector<int64_t>>& blocks, int64_t size,
                         int64_t patches, absl::string_view kind) {
  if (blocks.empty()) return absl::InternalError(absl::StrCat("no ", kind, " blocks"));
  for (const std::vector<int64_t>& block : blocks) {
    if (static_cast<int64_t>(block.size()) != size || size == 0) {
      return absl::InternalError(absl::StrCat("a ", kind, " block has ", block.size(),
                                              " entries; the batch needs ", size, " (above 0)"));
    }
    for (int64_t patch : block) {
      if (patch < 0 || patch >= patches) {
        return absl::InternalError(
            absl::StrCat("a ", kind, " block has patch ", patch, "; the grid has ", patches));
      }
    }
  }
  return absl::OkStatus();
}

// From now on LibTorch takes kernels that give the same bits from run to run, or throws where it
// has none; our own always do. cuBLAS reads its variable when its first handle is made.
void RequireSameBits() {
  setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8", /*overwrite=*/1);
  at::globalContext().setDeterministicAlgorithms(true, /*warn_only=*/false);
  at::globalContext().setDeterministicFillUninitializedMemory(false);
}

// For this thread and the rest of the process: a stream of its own, because the default one cannot
// be captured, and the order of attention kernels.
void PrepareCuda(at::Device device, bool deterministic) {
  if (deterministic) RequireSameBits();
  c10::cuda::set_device(device.index());
  c10::cuda::setCurrentCUDAStream(
      c10::cuda::getStreamFromPool(/*isHighPriority=*/false, device.index()));
  SetCudaAttentionOrder();
}

// Whether a part of the state is whole on every rank, or of moments that ranks share out.
enum class StateKind { kWhole, kExpAvg, kExpAvgSq };

// A named part of the state: a view into a flat buffer, or a position table.
struct StateTensor {
  std::string name;
  at::Tensor value;  // Of moments that ranks share out: their place in the gradient buffer.
  StateKind kind = StateKind::kWhole;
};

class TorchLearner : public Learner {
 public:
  TorchLearner(const TrainConfig& config, at::Device device)
      : networks_(config.model, device, config.precision),
        optimizer_(&networks_.storage(), config.optimization.beta1, config.optimization.beta2),
        shard_pass_(&networks_, config.cuda_graphs, config.data.pin_memory),
        pin_memory_(config.data.pin_memory),
        ring_(device),
        loss_(at::zeros({1}, at::TensorOptions().dtype(at::kDouble).device(device))),
        telemetry_(networks_.storage(), config) {
    networks_.SetActivationCheckpointing(config.activation_checkpointing);
    networks_.Initialise(config.init, config.seed);
    if (!SharesUpdate(config)) return;
    FlatStorage& storage = networks_.storage();
    storage.KeepMomentsOf(OwnedRanges(BucketsOf(storage.count(), config.optimization.bucket_mib),
                                      config.rank, config.world_size));
  }

  absl::Status AccumulateShard(const Batch& batch, const MaskBatch& masks,
                               const ShardWeights& weights) override;
  void WatchNextShard(GradientReady ready) override { ready_ = std::move(ready); }
  void ShareUpdate(UpdateSharing sharing) override { sharing_ = std::move(sharing); }
  absl::Status SetSquares() override;
  FloatBuffer gradient() override;
  void SetScalar(StepScalar scalar, float value) override;
  absl::Status Update(const UpdateRates& rates) override;
  absl::StatusOr<StepResult> TakeResult() override;
  int results_left() const override { return device_decides() ? kMaxResultsLeft : 0; }
  absl::Status WaitForDevice() override;
  void EndSpan(StepSpan span) override;
  std::optional<StepSeconds> DeviceSeconds() const override { return ring_.seconds(); }
  void StartTelemetry() override { telemetry_.Start(); }
  absl::StatusOr<Telemetry> ReadTelemetry() override;
  absl::StatusOr<Features> PooledFeatures(const std::vector<uint8_t>& pixels, int images) override;
  std::vector<TensorToSave> StateLayout() const override;
  absl::Status CopyState(const std::vector<size_t>& which,
                         const std::vector<void*>& out) const override;
  absl::Status Restore(const TensorReader& saved) override;
  std::string ModelLine() const override;

 private:
  absl::Status CheckBatch(const Batch& batch, const MaskBatch& masks) const;
  std::vector<StateTensor> State() const;
  at::Tensor Scalars() const;
  at::Tensor Scalar(StepScalar scalar) const;
  // Whether a step that is not finite is skipped on the device, without the host.
  bool device_decides() const { return networks_.device().is_cuda(); }
  void AddLoss(const at::Tensor& loss, double weight);
  // Gradient, scalars and loss become zero.
  void ClearStep();
  // Decides on the host; puts the result into known_.
  absl::Status UpdateByHost(const UpdateRates& rates);
  // As Optimizer::Step, by all ranks together.
  absl::Status UpdateShared(const UpdateRates& rates);
  // The gradient buffer, free between steps, becomes one of the moments, whole on every rank.
  absl::Status GatherMoments(StateKind kind) const;
  // Rows of the patch embedding of `images` images, on the device.
  at::Tensor Patches(const uint8_t* pixels, int64_t images) const;
  Size Crop() const;
  int64_t ImageBytes() const {
    const ModelConfig& model = networks_.model();
    return int64_t{model.channels} * (model.scale.bit_depth / 8) * Crop().height * Crop().width;
  }

  Networks networks_;
  Optimizer optimizer_;
  ShardPass shard_pass_;  // CUDA.
  bool pin_memory_;
  StepRing ring_;                 // Where the device decides.
  std::deque<StepResult> known_;  // Where the host does; untaken.
  at::Tensor loss_;               // fp64 [1], of the step so far.
  GradientReady ready_;           // Of the next shard.
  std::optional<UpdateSharing> sharing_;
  TelemetryMeter telemetry_;
};

Size TorchLearner::Crop() const {
  const ModelConfig& model = networks_.model();
  return {model.grid_height * model.patch_size, model.grid_width * model.patch_size};
}

absl::Status TorchLearner::CheckBatch(const Batch& batch, const MaskBatch& masks) const {
  if (batch.images <= 0 ||
      static_cast<int64_t>(batch.pixels.size()) != batch.images * ImageBytes()) {
    return absl::InternalError(absl::StrCat(
        "batch of ", batch.images, " images has ", batch.pixels.size(), " bytes; an image of crop ",
        Crop().height, " x ", Crop().width, " has ", ImageBytes()));
  }
  const int64_t patches = networks_.grid_patches();
  IJEPA_RETURN_IF_ERROR(CheckBlocks(masks.context, int64_t{batch.images} * masks.context_patches,
                                    patches, "context"));
  return CheckBlocks(masks.target, int64_t{batch.images} * masks.target_patches, patches, "target");
}

at::Tensor TorchLearner::Patches(const uint8_t* pixels, int64_t images) const {
  const ModelConfig& model = networks_.model();
  const at::Device device = networks_.device();
  if (device.is_cpu()) return PatchesOfPixels(model, pixels, images, device);
  return UnfoldedPixels(model, PixelsToDevice(model, pixels, images, device, pin_memory_),
                        networks_.patch_type());
}

absl::Status TorchLearner::AccumulateShard(const Batch& batch, const MaskBatch& masks,
                                           const ShardWeights& weights) {
  IJEPA_RETURN_IF_ERROR(CheckBatch(batch, masks));
  const GradientReady ready = std::exchange(ready_, nullptr);
  return Guarded("forward and backward", [&]() -> absl::Status {
    const at::Device device = networks_.device();
    at::Tensor loss;
    // A captured graph keeps no features, so a measured step runs as it is.
    if (device.is_cuda() && !telemetry_.active()) {
      loss = shard_pass_.Run(batch.pixels.data(), batch.images, masks, weights.gradient, ready);
    } else {
      const StepRows rows =
          MakeStepRows(masks, batch.images, networks_.grid_patches(), device, networks_.kernels());
      const at::Tensor patches = Patches(batch.pixels.data(), batch.images);
      StepFeatures features;
      loss = networks_.Loss(patches, rows, telemetry_.active() ? &features : nullptr, ready);
      loss.backward(at::full({}, weights.gradient, loss.options()));
      telemetry_.TakeShard(features, rows.shape);
    }
    AddLoss(loss.detach(), weights.loss);
    return absl::OkStatus();
  });
}

// On CPU with the host's own arithmetic: LibTorch's would round once instead of twice.
void TorchLearner::AddLoss(const at::Tensor& loss, double weight) {
  const c10::NoGradGuard no_grad;
  if (loss.is_cuda()) {
    loss_.add_(loss.to(at::kDouble), weight);
  } else {
    loss_.fill_(loss_.item<double>() + loss.item<double>() * weight);
  }
  Scalar(StepScalar::kLoss).copy_(loss_);
}

FloatBuffer TorchLearner::gradient() {
  const at::Tensor& grad = networks_.storage().grad;
  return {.data = grad.data_ptr<float>(), .count = grad.numel()};
}

at::Tensor TorchLearner::Scalars() const {
  const FlatStorage& storage = networks_.storage();
  return storage.grad.narrow(0, storage.count(), kStepScalars);
}

at::Tensor TorchLearner::Scalar(StepScalar scalar) const {
  return Scalars().narrow(0, static_cast<int>(scalar), 1);
}

void TorchLearner::SetScalar(StepScalar scalar, float value) { Scalar(scalar).fill_(value); }

absl::Status TorchLearner::SetSquares() {
  return Guarded("norm of the gradient", [&]() -> absl::Status {
    const FlatStorage& storage = networks_.storage();
    at::Tensor squares = at::zeros({1}, storage.grad.options().dtype(at::kDouble));
    for (const OwnedRange& owned : storage.owned()) {
      const at::Tensor part = storage.grad.narrow(0, owned.range.begin, owned.range.size());
      squares.add_(part.norm().to(at::kDouble).square());
    }
    Scalar(StepScalar::kSquares).copy_(squares);
    return absl::OkStatus();
  });
}

absl::Status TorchLearner::UpdateShared(const UpdateRates& rates) {
  optimizer_.StepOwned(rates, Scalar(StepScalar::kSquares));
  IJEPA_RETURN_IF_ERROR(sharing_->gather(networks_.storage().params.data_ptr<float>()));
  optimizer_.StepTarget(rates);
  return absl::OkStatus();
}

absl::Status TorchLearner::UpdateByHost(const UpdateRates& rates) {
  const FlatStorage& storage = networks_.storage();
  StepResult result;
  const at::Tensor scalars = Scalars().cpu();
  std::memcpy(result.scalars.data(), scalars.const_data_ptr(), sizeof(result.scalars));
  result.gradient_norm = sharing_.has_value()
                             ? std::sqrt(result.scalar(StepScalar::kSquares))
                             : storage.grad.narrow(0, 0, storage.count()).norm().item<double>();
  result.updated =
      std::isfinite(result.scalar(StepScalar::kLoss)) && std::isfinite(result.gradient_norm);
  if (result.updated && sharing_.has_value()) {
    IJEPA_RETURN_IF_ERROR(UpdateShared(rates));
  } else if (result.updated) {
    optimizer_.Step(rates);
  } else {
    telemetry_.Stop();
  }
  known_.push_back(result);
  return absl::OkStatus();
}

absl::Status TorchLearner::Update(const UpdateRates& rates) {
  return Guarded("optimizer step", [&]() -> absl::Status {
    if (device_decides()) {
      if (sharing_.has_value()) {
        IJEPA_RETURN_IF_ERROR(UpdateShared(rates));
      } else {
        optimizer_.Step(rates);
      }
      ring_.Put(Scalars(), optimizer_.device_record());
    } else {
      IJEPA_RETURN_IF_ERROR(UpdateByHost(rates));
    }
    if (telemetry_.active()) {
      IJEPA_RETURN_IF_ERROR(telemetry_.TakeUpdate(rates.lr, optimizer_.step(),
                                                  sharing_.has_value() ? &*sharing_ : nullptr));
    }
    ClearStep();
    return absl::OkStatus();
  });
}

absl::StatusOr<StepResult> TorchLearner::TakeResult() {
  return Guarded("result of a step", [&]() -> absl::StatusOr<StepResult> {
    if (!known_.empty()) {
      const StepResult result = known_.front();
      known_.pop_front();
      return result;
    }
    if (ring_.empty()) return absl::FailedPreconditionError("every step's result has been taken");
    const StepResult result = ring_.Take();
    if (!result.updated) telemetry_.Stop();
    return result;
  });
}

void TorchLearner::ClearStep() {
  networks_.storage().grad.zero_();
  loss_.zero_();
}

absl::Status TorchLearner::WaitForDevice() {
  return Guarded("waiting for the device", [&]() -> absl::Status {
    if (networks_.device().is_cuda()) {
      c10::cuda::getCurrentCUDAStream(networks_.device().index()).synchronize();
    }
    return absl::OkStatus();
  });
}

void TorchLearner::EndSpan(StepSpan span) {
  if (device_decides()) ring_.EndSpan(span);
}

absl::StatusOr<Telemetry> TorchLearner::ReadTelemetry() {
  return Guarded("telemetry", [&]() -> absl::StatusOr<Telemetry> { return telemetry_.Read(); });
}

absl::StatusOr<Features> TorchLearner::PooledFeatures(const std::vector<uint8_t>& pixels,
                                                      int images) {
  if (images < 0 || static_cast<int64_t>(pixels.size()) != images * ImageBytes()) {
    return absl::InternalError(absl::StrCat(images, " images have ", pixels.size(),
                                            " bytes; an image of crop ", Crop().height, " x ",
                                            Crop().width, " has ", ImageBytes()));
  }
  return Guarded("features", [&]() -> absl::StatusOr<Features> {
    const c10::NoGradGuard no_grad;
    const int width = networks_.model().embed_dim;
    Features features{.images = images, .width = width};
    features.values.resize(int64_t{images} * width);
    for (int64_t first = 0; first < images; first += kFeatureBatch) {
      const int64_t count = std::min<int64_t>(kFeatureBatch, images - first);
      const at::Tensor patches = Patches(pixels.data() + first * ImageBytes(), count);
      const at::Tensor map = networks_.TargetMap(patches);
      const at::Tensor pooled = map.to(at::kFloat).view({count, -1, width}).mean(1).cpu();
      std::memcpy(features.values.data() + first * width, pooled.data_ptr<float>(),
                  sizeof(float) * count * width);
    }
    return features;
  });
}

std::vector<StateTensor> TorchLearner::State() const {
  const FlatStorage& storage = networks_.storage();
  std::vector<StateTensor> state;
  const int64_t patches = networks_.grid_patches();
  const auto table = [&](const std::string& name, const at::Tensor& value) {
    state.push_back({name, value.view({1, patches, value.size(1)})});
  };
  table("encoder/pos_embed", networks_.encoder().pos_embed);
  table("predictor/predictor_pos_embed", networks_.predictor().pos_embed);
  table("target_encoder/pos_embed", networks_.target().pos_embed);
  for (const FlatParameter& parameter : storage.parameters()) {
    const std::string name =
        absl::StrCat(parameter.encoder ? "encoder/" : "predictor/", parameter.info.name);
    state.push_back({name, storage.View(storage.params, parameter)});
    const bool whole = storage.owns_all();
    state.push_back({"exp_avg/" + name,
                     storage.View(whole ? storage.exp_avg : storage.grad, parameter),
                     whole ? StateKind::kWhole : StateKind::kExpAvg});
    state.push_back({"exp_avg_sq/" + name,
                     storage.View(whole ? storage.exp_avg_sq : storage.grad, parameter),
                     whole ? StateKind::kWhole : StateKind::kExpAvgSq});
    if (parameter.encoder) state.push_back({"target_" + name, parameter.target});
  }
  return state;
}

// The tensors of State(), then the step.
std::vector<TensorToSave> TorchLearner::StateLayout() const {
  std::vector<TensorToSave> tensors;
  for (const StateTensor& part : State()) {
    tensors.push_back(
        {.name = part.name, .type = TensorType::kFloat32, .shape = part.value.sizes().vec()});
  }
  tensors.push_back({.name = kStepName, .type = TensorType::kInt64, .shape = {1}});
  return tensors;
}

absl::Status TorchLearner::CopyState(const std::vector<size_t>& which,
                                     const std::vector<void*>& out) const {
  return Guarded("copying the state", [&]() -> absl::Status {
    const c10::NoGradGuard no_grad;
    const std::vector<StateTensor> state = State();
    const auto copy = [&](StateKind kind) {
      for (size_t i = 0; i < which.size(); ++i) {
        if (which[i] == state.size() || state.at(which[i]).kind != kind) continue;
        const at::Tensor& value = state[which[i]].value;
        at::from_blob(out[i], value.sizes(), at::kFloat).copy_(value);
      }
    };
    const auto last = std::find(which.begin(), which.end(), state.size());
    if (last != which.end()) {
      const int64_t step = optimizer_.step();
      std::memcpy(out[static_cast<size_t>(last - which.begin())], &step, sizeof(step));
    }
    copy(StateKind::kWhole);
    if (networks_.storage().owns_all()) return absl::OkStatus();
    for (const StateKind kind : {StateKind::kExpAvg, StateKind::kExpAvgSq}) {
      IJEPA_RETURN_IF_ERROR(GatherMoments(kind));
      copy(kind);
    }
    networks_.storage().grad.zero_();
    return absl::OkStatus();
  });
}

absl::Status TorchLearner::GatherMoments(StateKind kind) const {
  if (!sharing_.has_value()) {
    return absl::FailedPreconditionError("moments are shared out over ranks; call ShareUpdate");
  }
  const FlatStorage& storage = networks_.storage();
  storage.PutOwned(kind == StateKind::kExpAvg ? storage.exp_avg : storage.exp_avg_sq, storage.grad);
  return sharing_->gather(storage.grad.data_ptr<float>());
}

absl::Status TorchLearner::Restore(const TensorReader& saved) {
  return Guarded("restore", [&]() -> absl::Status {
    const c10::NoGradGuard no_grad;
    int64_t step = 0;
    IJEPA_RETURN_IF_ERROR(saved.Read(kStepName, TensorType::kInt64, {1}, &step));
    if (step < 0) {
      return absl::DataLossError(absl::StrCat(kStepName, " is ", step, "; must be 0 or more"));
    }
    std::vector<StateTensor> state = State();
    std::vector<at::Tensor> staged;
    for (const StateTensor& part : state) {
      staged.push_back(at::empty(part.value.sizes(), at::kFloat));
      IJEPA_RETURN_IF_ERROR(saved.Read(part.name, TensorType::kFloat32, part.value.sizes().vec(),
                                       staged.back().data_ptr<float>()));
    }
    const auto put = [&](StateKind kind) {
      for (size_t i = 0; i < state.size(); ++i) {
        if (state[i].kind == kind) state[i].value.copy_(staged[i]);
      }
    };
    FlatStorage& storage = networks_.storage();
    put(StateKind::kWhole);
    if (!storage.owns_all()) {
      put(StateKind::kExpAvg);
      storage.TakeOwned(storage.grad, storage.exp_avg);
      put(StateKind::kExpAvgSq);
      storage.TakeOwned(storage.grad, storage.exp_avg_sq);
    }
    optimizer_.set_step(step);
    storage.RefreshBf16();
    ClearStep();
    return absl::OkStatus();
  });
}

std::string TorchLearner::ModelLine() const { return jepa::ModelLine(networks_.model()); }

}  // namespace

absl::StatusOr<std::unique_ptr<Learner>> Learner::Create(const TrainConfig& config) {
  IJEPA_RETURN_IF_ERROR(CheckPrecision(config));
  return Guarded("building the networks", [&]() -> absl::StatusOr<std::unique_ptr<Learner>> {
    IJEPA_ASSIGN_OR_RETURN(const at::Device device, FindDevice(config));
    at::set_num_threads(config.cpu_threads);
    if (device.is_cpu()) {
      KeepFreedMemory();
      BoundCompiledProducts();
    }
    if (device.is_cuda()) PrepareCuda(device, config.deterministic);
    return std::make_unique<TorchLearner>(config, device);
  });
}

}  // namespace jepa
