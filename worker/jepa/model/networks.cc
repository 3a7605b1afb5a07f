// Both networks and the loss; see networks.h.
#include "worker/jepa/model/networks.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/autocast_mode.h>
#include <c10/core/GradMode.h>

#include <vector>

#include "common/check.h"
#include "worker/jepa/model/initial_law.h"
#include "worker/jepa/plan/arithmetic.h"

namespace jepa {
namespace {

constexpr double kTargetNormEps = 1e-5;
// Rows of the union are padded to a multiple of this: oneDNN compiles a product for each row count.
constexpr size_t kUnionMultiple = 128;

at::Tensor ToDevice(const std::vector<int64_t>& values, at::Device device) {
  return at::from_blob(const_cast<int64_t*>(values.data()), {static_cast<int64_t>(values.size())},
                       at::kLong)
      .to(device, at::kLong, /*non_blocking=*/false, /*copy=*/true);
}

// bf16 arithmetic of matrix products while it lives; master weights stay fp32. ijepa-spec 3.
class AutocastScope {
 public:
  AutocastScope(Precision precision, at::Device device)
      : active_(precision == Precision::kBf16), type_(device.type()) {
    if (!active_) return;
    at::autocast::set_autocast_dtype(type_, at::kBFloat16);
    at::autocast::set_autocast_enabled(type_, true);
    at::autocast::increment_nesting();
  }
  ~AutocastScope() {
    if (!active_) return;
    if (at::autocast::decrement_nesting() == 0) at::autocast::clear_cache();
    at::autocast::set_autocast_enabled(type_, false);
  }
  AutocastScope(const AutocastScope&) = delete;
  AutocastScope& operator=(const AutocastScope&) = delete;

 private:
  bool active_;
  at::DeviceType type_;
};

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
  while (united.size() % kUnionMultiple != 0) united.push_back(united.front());
  rows->target_union = ToDevice(united, rows->context_rows.device());
  rows->target_rows = ToDevice(loss_rows, rows->context_rows.device());
}

}  // namespace

StepRows MakeStepRows(const MaskBatch& masks, int64_t images, int64_t patches, at::Device device) {
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
  rows.context_rows = ToDevice(context_rows, device);
  rows.context_positions = ToDevice(context_positions, device);
  rows.target_positions = ToDevice(target_positions, device);
  UniteTargets(masks, patches, &rows);
  return rows;
}

Networks::Networks(const ModelConfig& model, at::Device device, Precision precision)
    : model_(model), device_(device), precision_(precision), storage_(model, device) {
  encoder_ = BindEncoder(false);
  target_ = BindEncoder(true);
  predictor_ = BindPredictor();
}

EncoderWeights Networks::BindEncoder(bool target) const {
  const ParameterLookup lookup = [&](const std::string& name) {
    const FlatParameter& parameter = storage_.Find("encoder/" + name);
    return target ? parameter.target : parameter.value;
  };
  EncoderWeights encoder;
  encoder.patch_embed = BindLinear(lookup, "patch_embed.proj");
  encoder.pos_embed = MakePositions(model_, model_.embed_dim, device_);
  for (int i = 0; i < model_.depth; ++i) {
    encoder.blocks.push_back(BindBlock(lookup, "blocks." + std::to_string(i)));
  }
  encoder.norm = BindNorm(lookup, "norm");
  encoder.num_heads = model_.num_heads;
  return encoder;
}

PredictorWeights Networks::BindPredictor() const {
  const ParameterLookup lookup = [&](const std::string& name) {
    return storage_.Find("predictor/" + name).value;
  };
  PredictorWeights predictor;
  predictor.mask_token = lookup("mask_token");
  predictor.pos_embed = MakePositions(model_, model_.pred_embed_dim, device_);
  predictor.embed = BindLinear(lookup, "predictor_embed");
  for (int i = 0; i < model_.pred_depth; ++i) {
    predictor.blocks.push_back(BindBlock(lookup, "predictor_blocks." + std::to_string(i)));
  }
  predictor.norm = BindNorm(lookup, "predictor_norm");
  predictor.proj = BindLinear(lookup, "predictor_proj");
  predictor.num_heads = model_.num_heads;
  return predictor;
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
  const AutocastScope autocast(precision_, device_);
  const at::Tensor features = EncoderForward(
      target_, {.patches = patches, .sequences = rows.shape.images, .rows = rows.target_union});
  return at::layer_norm(features, {features.size(1)}, {}, {}, kTargetNormEps)
      .index_select(0, rows.target_rows);
}

at::Tensor Networks::Context(const at::Tensor& patches, const StepRows& rows) const {
  const AutocastScope autocast(precision_, device_);
  return EncoderForward(encoder_, {.patches = patches.index_select(0, rows.context_rows),
                                   .positions = rows.context_positions,
                                   .sequences = rows.shape.context_blocks * rows.shape.images});
}

at::Tensor Networks::Predict(const at::Tensor& context, const StepRows& rows) const {
  const AutocastScope autocast(precision_, device_);
  return PredictorForward(predictor_, {.shape = rows.shape,
                                       .context = context,
                                       .context_positions = rows.context_positions,
                                       .target_positions = rows.target_positions});
}

at::Tensor Networks::Loss(const at::Tensor& patches, const StepRows& rows) const {
  const at::Tensor targets = Targets(patches, rows);
  return LossOf(Predict(Context(patches, rows), rows), targets);
}

at::Tensor Networks::LossOf(const at::Tensor& predictions, const at::Tensor& targets) const {
  return at::smooth_l1_loss(predictions.to(at::kFloat), targets.to(at::kFloat), at::Reduction::Mean,
                            /*beta=*/1.0);
}

at::Tensor Networks::WholeImages(const EncoderWeights& encoder, const at::Tensor& patches) const {
  const c10::NoGradGuard no_grad;
  const AutocastScope autocast(precision_, device_);
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
