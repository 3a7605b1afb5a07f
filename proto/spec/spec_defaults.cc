// One line per field, in the order of the protos.
#include "proto/spec/spec_defaults.h"

#include "proto/spec/schedule_rules.h"
#include "proto/spec/train_config.h"
#include "worker/jepa/plan/masks.h"

namespace ijepa::spec {
namespace {

// Calls the setter of an optional field unless it is set.
#define IJEPA_DEFAULT(message, field, value) \
  if (!(message)->has_##field()) (message)->set_##field(value)

// The same for a FloatRange.
#define IJEPA_DEFAULT_RANGE(message, field, low_value, high_value) \
  if (!(message)->has_##field()) {                                 \
    (message)->mutable_##field()->set_low(low_value);              \
    (message)->mutable_##field()->set_high(high_value);            \
  }

constexpr int kDefaultCrop = 224;
constexpr int kRgb = 3;

// ImageNet's, as published; other channels have no statistics but their own.
void ResolveStatistics(v1::DataSpec* data) {
  const jepa::PixelScale published;
  if (data->channels() != kRgb) return;
  if (!data->has_mean()) {
    data->mutable_mean()->mutable_values()->Assign(published.mean.begin(), published.mean.end());
  }
  if (!data->has_std()) {
    data->mutable_std()->mutable_values()->Assign(published.std.begin(), published.std.end());
  }
}

void ResolveJob(v1::JobSpec* spec) {
  if (!spec->has_ranks()) {
    spec->mutable_ranks()->set_min(1);
    spec->mutable_ranks()->set_max(1);
  }
  IJEPA_DEFAULT(spec, shards, spec->ranks().max());
  IJEPA_DEFAULT(spec, priority, 0);
  IJEPA_DEFAULT(spec, max_restarts, 10);
  IJEPA_DEFAULT(spec, max_no_progress, 3);
  IJEPA_DEFAULT(spec, cpu_threads, 1);
  IJEPA_DEFAULT(spec, device, "auto");
  IJEPA_DEFAULT(spec, restart_delay_seconds, 10);
  IJEPA_DEFAULT(spec, deterministic, false);
  for (v1::Dependency& dependency : *spec->mutable_depends_on()) {
    if (dependency.on_failure() == v1::DEPENDENCY_FAILURE_UNSPECIFIED) {
      dependency.set_on_failure(v1::DEPENDENCY_FAILURE_CANCEL);
    }
  }
  IJEPA_DEFAULT(spec, queue, kDefaultQueue);
  IJEPA_DEFAULT(spec, preemptible, true);
  v1::TopologySpec* topology = spec->mutable_topology();
  if (topology->required() == v1::TOPOLOGY_LEVEL_UNSPECIFIED) {
    topology->set_required(v1::TOPOLOGY_LEVEL_CLUSTER);
  }
  if (topology->preferred() == v1::TOPOLOGY_LEVEL_UNSPECIFIED) {
    topology->set_preferred(v1::TOPOLOGY_LEVEL_NODE);
  }
}

void ResolveData(v1::DataSpec* data) {
  if (!data->has_crop_size()) {
    data->mutable_crop_size()->set_height(kDefaultCrop);
    data->mutable_crop_size()->set_width(kDefaultCrop);
  }
  IJEPA_DEFAULT_RANGE(data, crop_scale, 0.3, 1.0);
  IJEPA_DEFAULT(data, use_horizontal_flip, false);
  IJEPA_DEFAULT(data, use_color_distortion, false);
  IJEPA_DEFAULT(data, color_jitter_strength, 0);
  IJEPA_DEFAULT(data, use_gaussian_blur, false);
  IJEPA_DEFAULT(data, num_workers, 1);
  IJEPA_DEFAULT(data, pin_mem, true);
  IJEPA_DEFAULT(data, max_bad_fraction, 0.01);
  if (data->rng() == v1::DATA_RNG_UNSPECIFIED) data->set_rng(v1::DATA_RNG_PHILOX);
  IJEPA_DEFAULT(data, exif_orientation, false);
  IJEPA_DEFAULT(data, channels, kRgb);
  IJEPA_DEFAULT(data, bit_depth, 8);
  ResolveStatistics(data);
  IJEPA_DEFAULT(data, dct_scaling, false);
}

// After ResolveData: the default of mode depends on the grid.
void ResolveMask(v1::JobSpec* spec) {
  v1::MaskSpec* mask = spec->mutable_mask();
  IJEPA_DEFAULT(mask, patch_size, 16);
  IJEPA_DEFAULT(mask, num_enc_masks, 1);
  IJEPA_DEFAULT(mask, num_pred_masks, 4);
  IJEPA_DEFAULT_RANGE(mask, enc_mask_scale, 0.85, 1.0);
  IJEPA_DEFAULT_RANGE(mask, pred_mask_scale, 0.15, 0.2);
  IJEPA_DEFAULT_RANGE(mask, aspect_ratio, 0.75, 1.5);
  IJEPA_DEFAULT(mask, min_keep, 10);
  IJEPA_DEFAULT(mask, allow_overlap, false);
  IJEPA_DEFAULT(mask, balance, false);
  if (mask->mode() == v1::MASK_MODE_UNSPECIFIED) {
    const bool fixed = jepa::DefaultMaskMode(GridFrom(*spec)) == jepa::MaskMode::kFixed;
    mask->set_mode(fixed ? v1::MASK_MODE_FIXED : v1::MASK_MODE_REFERENCE);
  }
}

void ResolveMeta(v1::MetaSpec* meta) {
  IJEPA_DEFAULT(meta, pred_depth, 6);
  IJEPA_DEFAULT(meta, pred_emb_dim, 384);
  IJEPA_DEFAULT(meta, use_bfloat16, false);
  IJEPA_DEFAULT(meta, load_checkpoint, false);
  IJEPA_DEFAULT(meta, copy_data, false);
  if (meta->cuda_graphs() == v1::CUDA_GRAPHS_UNSPECIFIED) {
    meta->set_cuda_graphs(v1::CUDA_GRAPHS_AUTO);
  }
  IJEPA_DEFAULT(meta, activation_checkpointing, false);
  if (meta->model_name() == kCustomModel) IJEPA_DEFAULT(meta, mlp_ratio, 4);
}

void ResolveOptimization(v1::OptimizationSpec* optimization) {
  IJEPA_DEFAULT(optimization, warmup, 0);
  IJEPA_DEFAULT(optimization, start_lr, 2e-4);
  IJEPA_DEFAULT(optimization, lr, 1e-3);
  IJEPA_DEFAULT(optimization, final_lr, 1e-6);
  IJEPA_DEFAULT(optimization, weight_decay, 0.04);
  IJEPA_DEFAULT(optimization, final_weight_decay, 0.4);
  IJEPA_DEFAULT_RANGE(optimization, ema, 0.996, 1.0);
  IJEPA_DEFAULT(optimization, ipe_scale, 1);
  IJEPA_DEFAULT_RANGE(optimization, betas, 0.9, 0.999);
  IJEPA_DEFAULT(optimization, zero1, false);
  if (optimization->gradient_wire() == v1::PRECISION_UNSPECIFIED) {
    optimization->set_gradient_wire(v1::PRECISION_FP32);
  }
  IJEPA_DEFAULT(optimization, bucket_mib, 25);
}

void ResolveService(v1::JobSpec* spec) {
  IJEPA_DEFAULT(spec->mutable_logging(), write_tag, "jepa");
  v1::InitSpec* init = spec->mutable_init();
  if (init->mode() == v1::INIT_MODE_UNSPECIFIED) init->set_mode(v1::INIT_MODE_CLEAN);
  IJEPA_DEFAULT(init, seed, 0);
  v1::CheckpointSpec* checkpoint = spec->mutable_checkpoint();
  IJEPA_DEFAULT(checkpoint, every_minutes, 0);
  IJEPA_DEFAULT(checkpoint, auto_interval, false);
  const bool by_time = checkpoint->every_minutes() > 0 || checkpoint->auto_interval();
  IJEPA_DEFAULT(checkpoint, every_steps, by_time ? 0 : 1000);
  IJEPA_DEFAULT(checkpoint, keep_last, 2);
  IJEPA_DEFAULT(checkpoint, keep_every_epochs, 0);
  IJEPA_DEFAULT(checkpoint, keep_best, false);
  v1::EvalSpec* eval = spec->mutable_eval();
  IJEPA_DEFAULT(eval, max_images, 0);
  IJEPA_DEFAULT(eval, intermediate, 0);
}

void ResolveHealth(v1::TelemetrySpec* telemetry, v1::FaultsSpec* faults) {
  IJEPA_DEFAULT(telemetry, every_steps, 50);
  IJEPA_DEFAULT(telemetry, collapse_reports, 5);
  IJEPA_DEFAULT_RANGE(telemetry, collapse_rank_of_max, 0.02, 0.04);
  IJEPA_DEFAULT_RANGE(telemetry, collapse_rank_of_best, 0.2, 0.3);
  IJEPA_DEFAULT_RANGE(telemetry, collapse_std, 0.06, 0.12);
  if (faults->non_finite() == v1::NON_FINITE_ACTION_UNSPECIFIED) {
    faults->set_non_finite(v1::NON_FINITE_ACTION_SKIP);
  }
  IJEPA_DEFAULT(faults, budget, 10);
  IJEPA_DEFAULT(faults, window_steps, 1000);
  for (v1::FaultInjection& fault : *faults->mutable_inject()) {
    IJEPA_DEFAULT(&fault, rank, 0);
    IJEPA_DEFAULT(&fault, steps, 1);
    IJEPA_DEFAULT(&fault, factor, 3);
    IJEPA_DEFAULT(&fault, attempt, 1);
  }
}

void ResolveKubernetes(v1::KubernetesSpec* kubernetes) {
  IJEPA_DEFAULT(kubernetes, gpu_resource, "nvidia.com/gpu");
  IJEPA_DEFAULT(kubernetes, ranks_per_pod, 8);
  IJEPA_DEFAULT(kubernetes, shm_size, "16Gi");
  IJEPA_DEFAULT(kubernetes, host_network, false);
}

void ResolveNetwork(v1::NetworkSpec* network) {
  IJEPA_DEFAULT(network, check, true);
  IJEPA_DEFAULT(network, min_gbps, 0);
}

void ResolveOnFailure(v1::OnFailureSpec* on_failure) {
  const google::protobuf::Descriptor& classes = *on_failure->GetDescriptor();
  const google::protobuf::Reflection& actions = *on_failure->GetReflection();
  for (int i = 0; i < classes.field_count(); ++i) {
    const google::protobuf::FieldDescriptor* field = classes.field(i);
    if (actions.HasField(*on_failure, field)) continue;
    // The same again would fail the same way.
    const bool hopeless = field->number() == v1::OnFailureSpec::kUserErrorFieldNumber ||
                          field->number() == v1::OnFailureSpec::kOomGpuFieldNumber;
    actions.SetEnumValue(on_failure, field,
                         hopeless ? v1::FAILURE_ACTION_FAIL : v1::FAILURE_ACTION_RETRY);
  }
}

#undef IJEPA_DEFAULT
#undef IJEPA_DEFAULT_RANGE

}  // namespace

void ResolveDefaults(v1::JobSpec* spec) {
  ResolveJob(spec);
  ResolveData(spec->mutable_data());
  ResolveMask(spec);
  ResolveMeta(spec->mutable_meta());
  ResolveOptimization(spec->mutable_optimization());
  ResolveService(spec);
  ResolveHealth(spec->mutable_telemetry(), spec->mutable_faults());
  ResolveOnFailure(spec->mutable_on_failure());
  ResolveKubernetes(spec->mutable_kubernetes());
  ResolveNetwork(spec->mutable_network());
}

}  // namespace ijepa::spec
