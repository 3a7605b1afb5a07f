// The conversion, field by field.
#include "proto/spec/train_config.h"

#include <filesystem>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "common/status_macros.h"
#include "worker/jepa/plan/arithmetic.h"

namespace ijepa::spec {
namespace {

jepa::Range RangeFrom(const v1::FloatRange& range) { return {range.low(), range.high()}; }

// The longest prefix of root/folder/train, from root on, that exists; the whole when none does.
std::string FindPublishedPath(const v1::DataSpec& data) {
  const std::string whole = ImagePath(data);
  if (!data.path().empty()) return whole;
  const size_t root_size =
      (std::filesystem::path(data.root_path()) / "").lexically_normal().string().size();
  std::error_code absent;
  for (std::string candidate = whole; candidate.size() + 1 >= root_size;
       candidate = std::filesystem::path(candidate).parent_path().string()) {
    if (std::filesystem::exists(candidate, absent)) return candidate;
    if (candidate.size() <= 1) break;
  }
  return whole;
}

absl::Status CheckLaunch(const v1::RankLaunch& launch) {
  const int shards = launch.spec().shards();
  if (launch.world_size() < 1 || launch.rank() < 0 || launch.rank() >= launch.world_size()) {
    return absl::InvalidArgumentError(absl::StrCat("launch has rank ", launch.rank(), " of ",
                                                   launch.world_size(),
                                                   "; must be in [0, world_size)"));
  }
  if (shards < 1 || shards % launch.world_size() != 0) {
    return absl::InvalidArgumentError(absl::StrCat("launch has ", launch.world_size(),
                                                   " ranks for ", shards,
                                                   " shards; ranks must divide shards"));
  }
  if (launch.checkpoint_folder().empty()) {
    return absl::InvalidArgumentError("launch has no checkpoint_folder");
  }
  return absl::OkStatus();
}

absl::Status ChooseDevice(const v1::RankLaunch& launch, const NodeFacts& facts,
                          jepa::TrainConfig* config) {
  const std::string& device = launch.spec().device();
  if (device == "cuda" && !facts.has_cuda) {
    return absl::FailedPreconditionError(
        "device is cuda, but this node has no usable GPU; set device to auto or cpu");
  }
  const bool cuda = facts.has_cuda && device != "cpu";
  config->device = cuda ? jepa::Device::kCuda : jepa::Device::kCpu;
  config->device_index = cuda ? launch.slot() : 0;
  return absl::OkStatus();
}

// design.md, ruling 9: what was asked for in so many words is given or refused; the published key
// is a wish.
absl::Status ChoosePrecision(const v1::RankLaunch& launch, const NodeFacts& facts,
                             jepa::TrainConfig* config, std::vector<std::string>* warnings) {
  const jepa::Precision wanted = PrecisionFrom(launch.spec());
  if (wanted == jepa::Precision::kFp32) return absl::OkStatus();
  if (config->device == jepa::Device::kCuda || facts.cpu_bf16) {
    config->precision = wanted;
    return absl::OkStatus();
  }
  constexpr absl::string_view kMissing =
      ", but this CPU has no bf16 arithmetic (AVX512-BF16 or AMX-BF16); ";
  if (launch.spec().meta().has_precision()) {
    return absl::FailedPreconditionError(absl::StrCat(
        "meta.precision is bf16", kMissing,
        "set it to fp32, or remove it and set meta.use_bfloat16 for bf16 where there is some"));
  }
  if (warnings != nullptr) {
    warnings->push_back(absl::StrCat("meta.use_bfloat16 is true", kMissing, "training in fp32"));
  }
  return absl::OkStatus();
}

jepa::CheckpointConfig CheckpointFrom(const v1::RankLaunch& launch) {
  jepa::CheckpointConfig checkpoint;
  const v1::CheckpointSpec& rules = launch.spec().checkpoint();
  checkpoint.every_steps = rules.every_steps();
  checkpoint.every_minutes = rules.every_minutes();
  checkpoint.auto_interval = rules.auto_interval();
  if (launch.hours_between_failures() > 0) {
    checkpoint.hours_between_failures = launch.hours_between_failures();
  }
  checkpoint.keep_every_epochs = rules.keep_every_epochs();
  checkpoint.at_probes = rules.keep_best();
  checkpoint.folder = launch.checkpoint_folder();
  for (const v1::Checkpoint& resume : launch.resume()) checkpoint.resume.push_back(resume.path());
  const v1::JobSpec& spec = launch.spec();
  if (spec.meta().load_checkpoint()) {
    // A relative name is one inside the folder, an empty one is the folder itself.
    const std::filesystem::path folder(spec.logging().folder());
    checkpoint.start_from = spec.meta().read_checkpoint().empty()
                                ? folder.string()
                                : (folder / spec.meta().read_checkpoint()).string();
    checkpoint.start_tag = spec.logging().write_tag();
  }
  return checkpoint;
}

jepa::EvalConfig EvalFrom(const v1::RankLaunch& launch) {
  const v1::EvalSpec& spec = launch.spec().eval();
  jepa::EvalConfig eval;
  eval.path = spec.path();
  eval.fit_path = spec.fit_path();
  eval.max_images = spec.max_images();
  eval.intermediate = spec.intermediate();
  eval.skip_initial = launch.initial_probe_done();
  eval.last_probe_step = launch.last_probe_step();
  return eval;
}

jepa::TelemetryConfig TelemetryFrom(const v1::TelemetrySpec& spec) {
  jepa::TelemetryConfig telemetry;
  telemetry.every_steps = spec.every_steps();
  telemetry.collapse.reports = spec.collapse_reports();
  telemetry.collapse.rank_of_max = RangeFrom(spec.collapse_rank_of_max());
  telemetry.collapse.rank_of_best = RangeFrom(spec.collapse_rank_of_best());
  telemetry.collapse.std = RangeFrom(spec.collapse_std());
  return telemetry;
}

jepa::CudaGraphs GraphsFrom(const v1::MetaSpec& meta) {
  switch (meta.cuda_graphs()) {
    case v1::CUDA_GRAPHS_ON:
      return jepa::CudaGraphs::kOn;
    case v1::CUDA_GRAPHS_OFF:
      return jepa::CudaGraphs::kOff;
    default:
      return jepa::CudaGraphs::kAuto;
  }
}

jepa::FaultKind KindFrom(v1::FaultKind kind) {
  switch (kind) {
    case v1::FAULT_KIND_SEGFAULT:
      return jepa::FaultKind::kSegfault;
    case v1::FAULT_KIND_STOP:
      return jepa::FaultKind::kStop;
    case v1::FAULT_KIND_DEADLOCK:
      return jepa::FaultKind::kDeadlock;
    case v1::FAULT_KIND_SLOW:
      return jepa::FaultKind::kSlow;
    case v1::FAULT_KIND_NAN:
      return jepa::FaultKind::kNan;
    case v1::FAULT_KIND_TORN_CHECKPOINT:
      return jepa::FaultKind::kTornCheckpoint;
    case v1::FAULT_KIND_ENOSPC:
      return jepa::FaultKind::kNoSpace;
    case v1::FAULT_KIND_EIO:
      return jepa::FaultKind::kIoError;
    default:
      return jepa::FaultKind::kKill;
  }
}

jepa::FaultsConfig FaultsFrom(const v1::FaultsSpec& spec) {
  jepa::FaultsConfig faults;
  switch (spec.non_finite()) {
    case v1::NON_FINITE_ACTION_ROLLBACK:
      faults.non_finite = jepa::NonFiniteAction::kRollBack;
      break;
    case v1::NON_FINITE_ACTION_FAIL:
      faults.non_finite = jepa::NonFiniteAction::kFail;
      break;
    default:
      faults.non_finite = jepa::NonFiniteAction::kSkip;
  }
  faults.budget = spec.budget();
  faults.window_steps = spec.window_steps();
  for (const v1::FaultInjection& fault : spec.inject()) {
    faults.inject.push_back({.kind = KindFrom(fault.kind()),
                             .rank = fault.rank(),
                             .step = fault.step(),
                             .steps = fault.steps(),
                             .factor = fault.factor(),
                             .attempt = fault.attempt()});
  }
  return faults;
}

absl::StatusOr<jepa::EncoderShape> ShapeFrom(const v1::MetaSpec& meta) {
  if (meta.model_name() != kCustomModel) {
    auto shape = jepa::EncoderByName(meta.model_name());
    if (shape.ok()) return shape;
    std::vector<std::string> names = jepa::EncoderNames();
    names.push_back(kCustomModel);
    return absl::InvalidArgumentError(absl::StrCat("meta.model_name is \"", meta.model_name(),
                                                   "\"; must be one of ",
                                                   absl::StrJoin(names, ", ")));
  }
  jepa::EncoderShape shape;
  shape.embed_dim = meta.embed_dim();
  shape.depth = meta.depth();
  shape.num_heads = meta.num_heads();
  shape.mlp_hidden = static_cast<int>(meta.embed_dim() * meta.mlp_ratio());
  if (shape.embed_dim < 1 || shape.depth < 1 || shape.num_heads < 1 || shape.mlp_hidden < 1) {
    return absl::InvalidArgumentError(
        "meta.model_name is vit_custom; meta.embed_dim, meta.depth and meta.num_heads must be set");
  }
  return shape;
}

}  // namespace

jepa::MaskGrid GridFrom(const v1::JobSpec& resolved) {
  const int patch = resolved.mask().patch_size();
  const v1::CropSize& crop = resolved.data().crop_size();
  if (patch < 1 || crop.height() < 1 || crop.width() < 1) return {};
  return {crop.height() / patch, crop.width() / patch};
}

std::string ImagePath(const v1::DataSpec& data) {
  if (!data.path().empty()) return data.path();
  if (data.root_path().empty() && data.image_folder().empty()) return "";
  // A leading slash of image_folder would drop the root.
  const std::filesystem::path folder =
      std::filesystem::path(data.image_folder()).relative_path() / "train";
  return (std::filesystem::path(data.root_path()) / folder).lexically_normal().string();
}

absl::StatusOr<jepa::ModelConfig> ModelFrom(const v1::JobSpec& resolved) {
  const v1::MetaSpec& meta = resolved.meta();
  IJEPA_ASSIGN_OR_RETURN(const jepa::EncoderShape shape, ShapeFrom(meta));
  const jepa::MaskGrid grid = GridFrom(resolved);
  jepa::ModelConfig model;
  model.grid_height = grid.height;
  model.grid_width = grid.width;
  model.patch_size = resolved.mask().patch_size();
  const v1::DataSpec& data = resolved.data();
  model.channels = data.channels();
  model.scale = {data.bit_depth(),
                 {data.mean().values().begin(), data.mean().values().end()},
                 {data.std().values().begin(), data.std().values().end()}};
  model.embed_dim = shape.embed_dim;
  model.depth = shape.depth;
  model.num_heads = shape.num_heads;
  model.mlp_hidden = shape.mlp_hidden;
  model.pred_depth = meta.pred_depth();
  model.pred_embed_dim = meta.pred_emb_dim();
  model.pred_mlp_hidden = 4 * meta.pred_emb_dim();
  if (model.embed_dim % model.num_heads != 0 || model.pred_embed_dim % model.num_heads != 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "widths ", model.embed_dim, " (encoder) and ", model.pred_embed_dim,
        " (predictor) must be multiples of the encoder's ", model.num_heads, " heads"));
  }
  return model;
}

jepa::Precision PrecisionFrom(const v1::JobSpec& resolved) {
  const v1::MetaSpec& meta = resolved.meta();
  const bool half =
      meta.has_precision() ? meta.precision() == v1::PRECISION_BF16 : meta.use_bfloat16();
  return half ? jepa::Precision::kBf16 : jepa::Precision::kFp32;
}

jepa::MaskConfig MaskFrom(const v1::JobSpec& resolved) {
  const v1::MaskSpec& spec = resolved.mask();
  jepa::MaskConfig mask;
  mask.patch_size = spec.patch_size();
  mask.num_enc_masks = spec.num_enc_masks();
  mask.num_pred_masks = spec.num_pred_masks();
  mask.enc_mask_scale = RangeFrom(spec.enc_mask_scale());
  mask.pred_mask_scale = RangeFrom(spec.pred_mask_scale());
  mask.aspect_ratio = RangeFrom(spec.aspect_ratio());
  mask.min_keep = spec.min_keep();
  mask.allow_overlap = spec.allow_overlap();
  mask.mode =
      spec.mode() == v1::MASK_MODE_FIXED ? jepa::MaskMode::kFixed : jepa::MaskMode::kReference;
  mask.balance = spec.balance();
  return mask;
}

jepa::DataConfig DataFrom(const v1::JobSpec& resolved) {
  const v1::DataSpec& spec = resolved.data();
  jepa::DataConfig data;
  data.batch_size = spec.batch_size();
  data.crop_size = {spec.crop_size().height(), spec.crop_size().width()};
  data.crop_scale = RangeFrom(spec.crop_scale());
  data.horizontal_flip = spec.use_horizontal_flip();
  data.color_distortion = spec.use_color_distortion();
  data.color_jitter_strength = spec.color_jitter_strength();
  data.gaussian_blur = spec.use_gaussian_blur();
  data.path = ImagePath(spec);
  data.num_workers = spec.num_workers();
  data.pin_memory = spec.pin_mem();
  data.max_bad_fraction = spec.max_bad_fraction();
  data.order =
      spec.rng() == v1::DATA_RNG_REFERENCE ? jepa::OrderMode::kReference : jepa::OrderMode::kKeyed;
  data.exif_orientation = spec.exif_orientation();
  data.channels = spec.channels();
  data.bit_depth = spec.bit_depth();
  data.dct_scaling = spec.dct_scaling();
  data.index_folder = spec.index_folder();
  return data;
}

jepa::OptimizationConfig OptimizationFrom(const v1::JobSpec& resolved) {
  const v1::OptimizationSpec& spec = resolved.optimization();
  jepa::OptimizationConfig optimization;
  optimization.epochs = spec.epochs();
  optimization.warmup = spec.warmup();
  optimization.start_lr = spec.start_lr();
  optimization.lr = spec.lr();
  optimization.final_lr = spec.final_lr();
  optimization.weight_decay = spec.weight_decay();
  optimization.final_weight_decay = spec.final_weight_decay();
  optimization.ema = RangeFrom(spec.ema());
  optimization.ipe_scale = spec.ipe_scale();
  optimization.beta1 = spec.betas().low();
  optimization.beta2 = spec.betas().high();
  optimization.zero1 = spec.zero1();
  optimization.gradient_wire =
      spec.gradient_wire() == v1::PRECISION_BF16 ? jepa::Precision::kBf16 : jepa::Precision::kFp32;
  optimization.bucket_mib = spec.bucket_mib();
  return optimization;
}

absl::StatusOr<jepa::TrainConfig> TrainConfigFrom(const v1::RankLaunch& launch,
                                                  const NodeFacts& facts,
                                                  std::vector<std::string>* warnings) {
  IJEPA_RETURN_IF_ERROR(CheckLaunch(launch));
  const v1::JobSpec& spec = launch.spec();
  jepa::TrainConfig config;
  config.data = DataFrom(spec);
  config.data.path = FindPublishedPath(spec.data());
  if (config.data.index_folder.empty()) config.data.index_folder = launch.index_folder();
  config.mask = MaskFrom(spec);
  IJEPA_ASSIGN_OR_RETURN(config.model, ModelFrom(spec));
  config.optimization = OptimizationFrom(spec);
  config.init = spec.init().mode() == v1::INIT_MODE_REFERENCE ? jepa::InitMode::kReference
                                                              : jepa::InitMode::kClean;
  config.seed = spec.init().seed();
  IJEPA_RETURN_IF_ERROR(ChooseDevice(launch, facts, &config));
  IJEPA_RETURN_IF_ERROR(ChoosePrecision(launch, facts, &config, warnings));
  config.cuda_graphs = GraphsFrom(spec.meta());
  config.deterministic = spec.deterministic();
  config.activation_checkpointing = spec.meta().activation_checkpointing();
  config.cpu_threads = spec.cpu_threads();
  config.checkpoint = CheckpointFrom(launch);
  config.eval = EvalFrom(launch);
  config.telemetry = TelemetryFrom(spec.telemetry());
  config.faults = FaultsFrom(spec.faults());
  config.network = {spec.network().check(), spec.network().min_gbps()};
  config.job_uid = launch.job_uid();
  config.generation = launch.generation();
  config.rank = launch.rank();
  config.world_size = launch.world_size();
  config.shards = spec.shards();
  if (!launch.host_address().empty()) config.host_address = launch.host_address();
  config.node = launch.node();
  return config;
}

}  // namespace ijepa::spec
