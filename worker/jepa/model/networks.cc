// Both networks and the loss; see networks.h.
#include "worker/jepa/model/networks.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "worker/jepa/kernels/rows.h"
#include "worker/jepa/model/autocast.h"
#include "worker/jepa/model/initial_law.h"
#include "worker/jepa/plan/arithmetic.h"

namespace jepa {
namespace {

constexpr double kTargetNormEps = 1e-5;
// Rows of the union are padded to a multiple of this: oneDNN compiles a product for each row count.
// On CUDA it is coarser, so that few shapes need a captured graph.
size_t UnionMultiple(int64_t rows, at::Device device) {
  constexpr int64_t kMultiple = 128;
  if (device.is_cpu()) return kMultiple;
  return static_cast<size_t>(std::max<int64_t>(1, rows / 32 / kMultiple) * kMultiple);
}

// Copies a list to the device, in the integer type that the kernels want; waits for nothing.
at::Tensor ToDevice(const std::vector<int64_t>& values, at::Device device, at::ScalarType type) {
  const auto count = static_cast<int64_t>(values.size());
  const at::Tensor host =
      at::empty({count}, at::TensorOptions().dtype(type).pinned_memory(device.is_cuda()));
  if (type == at::kInt) {
    std::transform(values.begin(), values.end(), host.data_ptr<int32_t>(),
                   [](int64_t value) { return static_cast<int32_t>(value); });
  } else {
    std::copy(values.begin(), values.end(), host.data_ptr<int64_t>());
  }
  return host.to(device, /*non_blocking=*/true);
}

at::Tensor MakePositions(const ModelConfig& model, int width, at::Device device) {
  std::vector<float> table = PositionTable(model.grid_height, model.grid_width, width);
  const int64_t patches = static_cast<int64_t>(model.grid_height) * model.grid_width;
  return at::from_blob(table.data(), {patches, width}, at::kFloat)
      .to(device, at::kFloat, /*non_blocking=*/false, /*copy=*/true);
}

// Fills target_union and target_rows.
void UniteTargets(const MaskBatch& masks, int64_t patches, StepRows* rows) {
  const PredictorShape& shape = rows->shape;
  std::vector<int64_t> compact(shape.images * patches, -1);
  for (const std::vector<int64_t>& block : masks.target) {
    for (size_t i = 0; i < block.size(); ++i) {
      compact[i / shape.target_patches * patches + block[i]] = 0;
    }
  }
  std::vector<int64_t> united;
  for (size_t row = 0; row < compact.size(); ++row) {
    if (compact[row] < 0) continue;
    compact[row] = static_cast<int64_t>(united.size());
    united.push_back(static_cast<int64_t>(row));
  }
  std::vector<int64_t> loss_rows;
  loss_rows.reserve(shape.sequences() * shape.target_patches);
  for (const std::vector<int64_t>& block : masks.target) {
    for (int64_t e = 0; e < shape.context_blocks; ++e) {
      for (size_t i = 0; i < block.size(); ++i) {
        loss_rows.push_back(compact[i / shape.target_patches * patches + block[i]]);
      }
    }
  }
  const at::Tensor& like = rows->context_rows;
  const size_t multiple = UnionMultiple(shape.images * patches, like.device());
  while (united.size() % multiple != 0) united.push_back(united.front());
  rows->target_union = ToDevice(united, like.device(), like.scalar_type());
  rows->target_rows = ToDevice(loss_rows, like.device(), like.scalar_type());
}

// `rows` of `in_rows`, with the inverse.
RowChoice InvertedChoice(const std::vector<int64_t>& rows, int64_t in_rows, at::Device device) {
  const InverseRows inverse = InvertRows(std::vector<int32_t>(rows.begin(), rows.end()), in_rows);
  const auto list = [&](const std::vector<int32_t>& values) {
    return ToDevice(std::vector<int64_t>(values.begin(), values.end()), device, at::kInt);
  };
  RowChoice choice(ToDevice(rows, device, at::kInt));
  choice.starts = list(inverse.starts);
  choice.order = list(inverse.order);
  return choice;
}

}  // namespace

StepRows MakeStepRows(const MaskBatch& masks, int64_t images, int64_t patches, at::Device device,
                      const KernelChoice& kernels) {
  StepRows rows;
  rows.shape = {.images = images,
                .context_blocks = static_cast<int64_t>(masks.context.size()),
                .context_patches = masks.context_patches,
                .target_blocks = static_cast<int64_t>(masks.target.size()),
                .target_patches = masks.target_patches};
  std::vector<int64_t> context_rows, context_positions, target_positions;
  for (const std::vector<int64_t>& block : masks.context) {
    for (size_t i = 0; i < block.size(); ++i) {
      context_rows.push_back(static_cast<int64_t>(i) / masks.context_patches * patches + block[i]);
      context_positions.push_back(block[i]);
    }
  }
  for (const std::vector<int64_t>& block : masks.target) {
    target_positions.insert(target_positions.end(), block.begin(), block.end());
  }
  const at::ScalarType type = kernels.take_rows ? at::kInt : at::kLong;
  rows.context_rows = ToDevice(context_rows, device, type);
  rows.context_positions = ToDevice(context_positions, device, type);
  rows.target_positions = kernels.take_rows ? InvertedChoice(target_positions, patches, device)
                                            : RowChoice(ToDevice(target_positions, device, type));
  UniteTargets(masks, patches, &rows);
  return rows;
}

Networks::Networks(const ModelConfig& model, at::Device device, Precision precision)
    : Networks(model, device, precision, device.is_cuda() ? KernelChoice::All() : KernelChoice()) {}

Networks::Networks(const ModelConfig& model, at::Device device, Precision precision,
                   const KernelChoice& kernels)
    : model_(model),
      device_(device),
      autocast_(kernels.direct ? Precision::kFp32 : precision),
      kernels_(kernels),
      storage_(model, device, /*keep_bf16=*/kernels.direct && precision == Precision::kBf16) {
  encoder_ = BindEncoder(false);
  target_ = BindEncoder(true);
  predictor_ = BindPredictor();
}

void Networks::SetActivationCheckpointing(bool on) {
  encoder_.recompute = on;
  predictor_.recompute = on;
}

EncoderWeights Networks::BindEncoder(bool target) const {
  const auto find = [&](const std::string& name) -> BoundParameter {
    const FlatParameter& parameter = storage_.Find("encoder/" + name);
    if (target) return {parameter.target, {}, parameter.target_bf16};
    return {parameter.value, kernels_.direct ? parameter.grad : at::Tensor(), parameter.value_bf16};
  };
  const ParameterLookup lookup{find, kernels_};
  EncoderWeights encoder;
  encoder.patch_embed = BindLinear(lookup, "patch_embed.proj");
  encoder.pos_embed = MakePositions(model_, model_.embed_dim, device_);
  for (int i = 0; i < model_.depth; ++i) {
    encoder.blocks.push_back(BindBlock(lookup, "blocks." + std::to_string(i)));
  }
  encoder.norm = BindNorm(lookup, "norm", /*bf16_out=*/false);
  encoder.num_heads = model_.num_heads;
  return encoder;
}

PredictorWeights Networks::BindPredictor() const {
  const auto find = [&](const std::string& name) -> BoundParameter {
    const FlatParameter& parameter = storage_.Find("predictor/" + name);
    return {parameter.value, kernels_.direct ? parameter.grad : at::Tensor(), parameter.value_bf16};
  };
  const ParameterLookup lookup{find, kernels_};
  PredictorWeights predictor;
  predictor.mask_token = find("mask_token").value;
  predictor.pos_embed = MakePositions(model_, model_.pred_embed_dim, device_);
  predictor.embed = BindLinear(lookup, "predictor_embed");
  for (int i = 0; i < model_.pred_depth; ++i) {
    predictor.blocks.push_back(BindBlock(lookup, "predictor_blocks." + std::to_string(i)));
  }
  predictor.norm = BindNorm(lookup, "predictor_norm", /*bf16_out=*/true);
  predictor.proj = BindLinear(lookup, "predictor_proj");
  predictor.num_heads = model_.num_heads;
  return predictor;
}

at::ScalarType Networks::patch_type() const {
  return storage_.params_bf16.defined() ? at::kBFloat16 : at::kFloat;
}

void Networks::Initialise(InitMode mode, uint64_t seed) {
  const c10::NoGradGuard no_grad;
  const std::vector<FlatParameter>& parameters = storage_.parameters();
  const at::Tensor host = device_.is_cpu() ? storage_.params : storage_.params.cpu();
  float* data = host.data_ptr<float>();
  // Every tensor has a stream of its own, so the split over threads does not matter.
  at::parallel_for(0, static_cast<int64_t>(parameters.size()), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      DrawInitial(parameters[i].info, mode, seed, static_cast<int>(i), data + parameters[i].offset);
    }
  });
  if (!device_.is_cpu()) storage_.params.copy_(host);
  storage_.CopyEncoderToTarget();
}

at::Tensor Networks::Targets(const at::Tensor& patches, const StepRows& rows) const {
  const c10::NoGradGuard no_grad;
  const AutocastScope autocast(autocast_, device_);
  const at::Tensor features = EncoderForward(
      target_, {.patches = patches, .sequences = rows.shape.images, .rows = rows.target_union});
  return TakeRows(at::layer_norm(features, {features.size(1)}, {}, {}, kTargetNormEps),
                  rows.target_rows);
}

// The gradient of a block's input comes when the block and all after it have theirs: LibTorch's
// engine runs what was made last first.
BlockHook Networks::TellAtBlocks(const std::string& prefix, const GradientReady& ready) const {
  if (!ready) return nullptr;
  return [this, prefix, ready](size_t block, const Stream& in) {
    const at::Tensor& newest = in.branch.defined() ? in.branch : in.residual;
    const std::string first = absl::StrCat(prefix, ".", block, ".attn.qkv.weight");
    const int64_t end = storage_.EndOf(first);
    if (newest.requires_grad()) newest.register_hook([=](const at::Tensor&) { ready(end); });
  };
}

at::Tensor Networks::Context(const at::Tensor& patches, const StepRows& rows,
                             const GradientReady& ready) const {
  const AutocastScope autocast(autocast_, device_);
  return EncoderForward(encoder_, {.patches = TakeRows(patches, rows.context_rows),
                                   .positions = rows.context_positions,
                                   .sequences = rows.shape.context_blocks * rows.shape.images,
                                   .at_block = TellAtBlocks("encoder/blocks", ready)});
}

at::Tensor Networks::Predict(const at::Tensor& context, const StepRows& rows,
                             const GradientReady& ready) const {
  const AutocastScope autocast(autocast_, device_);
  const int64_t predictor_end = storage_.encoder_decay().begin;
  if (ready) context.register_hook([=](const at::Tensor&) { ready(predictor_end); });
  return PredictorForward(predictor_,
                          {.shape = rows.shape,
                           .context = context,
                           .context_positions = rows.context_positions,
                           .target_positions = rows.target_positions,
                           .at_block = TellAtBlocks("predictor/predictor_blocks", ready)});
}

at::Tensor Networks::Loss(const at::Tensor& patches, const StepRows& rows, StepFeatures* features,
                          const GradientReady& ready) const {
  const at::Tensor targets = Targets(patches, rows);
  const at::Tensor predictions = Predict(Context(patches, rows, ready), rows, ready);
  if (features != nullptr) *features = {targets, predictions};
  return LossOf(predictions, targets);
}

at::Tensor Networks::LossOf(const at::Tensor& predictions, const at::Tensor& targets) const {
  return at::smooth_l1_loss(predictions.to(at::kFloat), targets.to(at::kFloat), at::Reduction::Mean,
                            /*beta=*/1.0);
}

at::Tensor Networks::WholeImages(const EncoderWeights& encoder, const at::Tensor& patches) const {
  const c10::NoGradGuard no_grad;
  const AutocastScope autocast(autocast_, device_);
  return EncoderForward(encoder,
                        {.patches = patches, .sequences = patches.size(0) / grid_patches()});
}

at::Tensor Networks::EncoderMap(const at::Tensor& patches) const {
  return WholeImages(encoder_, patches);
}

at::Tensor Networks::TargetMap(const at::Tensor& patches) const {
  return WholeImages(target_, patches);
}

}  // namespace jepa
