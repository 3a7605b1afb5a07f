// Learner over Networks and Optimizer: statuses instead of exceptions, host tensors for
// checkpoints.
#include "worker/jepa/model/learner.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/GradMode.h>
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAStream.h>
#include <malloc.h>

#include <cmath>
#include <cstring>
#include <new>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "common/status_macros.h"
#include "worker/jepa/model/attention.h"
#include "worker/jepa/model/networks.h"
#include "worker/jepa/model/optimizer.h"
#include "worker/jepa/model/patches.h"
#include "worker/jepa/model/shard_pass.h"
#include "worker/jepa/model/telemetry.h"
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

// For this thread and the rest of the process: a stream of its own, because the default one cannot
// be captured, and the order of attention kernels.
void PrepareCuda(at::Device device) {
  c10::cuda::set_device(device.index());
  c10::cuda::setCurrentCUDAStream(
      c10::cuda::getStreamFromPool(/*isHighPriority=*/false, device.index()));
  SetCudaAttentionOrder();
}

// A named part of the state: a view into a flat buffer, or a position table.
struct StateTensor {
  std::string name;
  at::Tensor value;
};

class TorchLearner : public Learner {
 public:
  TorchLearner(const TrainConfig& config, at::Device device)
      : networks_(config.model, device, config.precision),
        optimizer_(&networks_.storage(), config.optimization.beta1, config.optimization.beta2),
        shard_pass_(&networks_, config.cuda_graphs),
        telemetry_(networks_.storage(), config) {
    networks_.SetActivationCheckpointing(config.activation_checkpointing);
    networks_.Initialise(config.init, config.seed);
  }

  absl::StatusOr<double> AccumulateShard(const Batch& batch, const MaskBatch& masks,
                                         double scale) override;
  void WatchNextShard(GradientReady ready) override { ready_ = std::move(ready); }
  FloatBuffer gradient() override;
  void SetScalar(StepScalar scalar, float value) override;
  absl::StatusOr<std::vector<float>> Scalars() override;
  absl::StatusOr<double> Update(const UpdateRates& rates) override;
  absl::Status Discard() override;
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
  GradientReady ready_;   // Of the next shard.
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
  return UnfoldedPixels(model, PixelsToDevice(model, pixels, images, device),
                        networks_.patch_type());
}

absl::StatusOr<double> TorchLearner::AccumulateShard(const Batch& batch, const MaskBatch& masks,
                                                     double scale) {
  IJEPA_RETURN_IF_ERROR(CheckBatch(batch, masks));
  const GradientReady ready = std::exchange(ready_, nullptr);
  return Guarded("forward and backward", [&]() -> absl::StatusOr<double> {
    const at::Device device = networks_.device();
    // A captured graph keeps no features, so a measured step runs as it is.
    if (device.is_cuda() && !telemetry_.active()) {
      return shard_pass_.Run(batch.pixels.data(), batch.images, masks, scale, ready).item<double>();
    }
    const StepRows rows =
        MakeStepRows(masks, batch.images, networks_.grid_patches(), device, networks_.kernels());
    const at::Tensor patches = Patches(batch.pixels.data(), batch.images);
    StepFeatures features;
    const at::Tensor loss =
        networks_.Loss(patches, rows, telemetry_.active() ? &features : nullptr, ready);
    loss.backward(at::full({}, scale, loss.options()));
    telemetry_.TakeShard(features, rows.shape);
    return loss.item<double>();
  });
}

FloatBuffer TorchLearner::gradient() {
  const at::Tensor& grad = networks_.storage().grad;
  return {.data = grad.data_ptr<float>(), .count = grad.numel()};
}

void TorchLearner::SetScalar(StepScalar scalar, float value) {
  const FlatStorage& storage = networks_.storage();
  storage.grad.narrow(0, storage.count() + static_cast<int>(scalar), 1).fill_(value);
}

absl::StatusOr<std::vector<float>> TorchLearner::Scalars() {
  return Guarded("reading the step's scalars", [&]() -> absl::StatusOr<std::vector<float>> {
    const FlatStorage& storage = networks_.storage();
    const at::Tensor tail = storage.grad.narrow(0, storage.count(), kStepScalars).cpu();
    const float* data = tail.data_ptr<float>();
    return std::vector<float>(data, data + kStepScalars);
  });
}

absl::StatusOr<double> TorchLearner::Update(const UpdateRates& rates) {
  return Guarded("optimizer step", [&]() -> absl::StatusOr<double> {
    const FlatStorage& storage = networks_.storage();
    const bool cuda = storage.grad.is_cuda();
    if (cuda) optimizer_.Step(rates);  // Skips itself on the device if the norm is not finite.
    const double norm = cuda ? optimizer_.ReadNorm()
                             : storage.grad.narrow(0, 0, storage.count()).norm().item<double>();
    if (!std::isfinite(norm)) {
      return absl::OutOfRangeError(
          absl::StrCat("the norm of the gradient is ", norm, "; it must be finite"));
    }
    if (!cuda) optimizer_.Step(rates);
    if (telemetry_.active()) telemetry_.TakeUpdate(rates.lr, optimizer_.step());
    storage.grad.zero_();
    return norm;
  });
}

absl::Status TorchLearner::Discard() {
  return Guarded("discarding a step", [&]() -> absl::Status {
    telemetry_.Stop();
    networks_.storage().grad.zero_();
    return absl::OkStatus();
  });
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
    state.push_back({"exp_avg/" + name, storage.View(storage.exp_avg, parameter)});
    state.push_back({"exp_avg_sq/" + name, storage.View(storage.exp_avg_sq, parameter)});
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
    for (size_t i = 0; i < which.size(); ++i) {
      if (which[i] == state.size()) {
        const int64_t step = optimizer_.step();
        std::memcpy(out[i], &step, sizeof(step));
        continue;
      }
      const at::Tensor& value = state.at(which[i]).value;
      at::from_blob(out[i], value.sizes(), at::kFloat).copy_(value);
    }
    return absl::OkStatus();
  });
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
    for (size_t i = 0; i < state.size(); ++i) {
      state[i].value.copy_(staged[i]);
    }
    optimizer_.set_step(step);
    networks_.storage().RefreshBf16();
    networks_.storage().grad.zero_();
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
    if (device.is_cpu()) KeepFreedMemory();
    if (device.is_cuda()) PrepareCuda(device);
    return std::make_unique<TorchLearner>(config, device);
  });
}

}  // namespace jepa
