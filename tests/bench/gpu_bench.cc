// A training step on one GPU, as the ladder of performance.md 2: what each technique adds. Then the
// matrix products, attention kernels and our own kernels by themselves. Times by CUDA events; the
// host waits once at the end of a rung. Random pixels, masks as published.
//
//   gpu_bench [--json] [--model vit_huge --patch 14 --crop 224 --batch 128] [--steps N]
//
// Rungs: S0 LibTorch's operators, autocast, math attention, AdamW and EMA tensor by tensor, the
// loss read in every step. S1 fused attention, one-pass AdamW and EMA, nothing read. S2 residual
// addition with LayerNorm in one kernel, explicit types with kept bf16 weights, weight gradients in
// place. S3 bias and GELU in one kernel. S4 the residual stream in bf16 (differs from the
// original). S3g: S3 by captured graphs, where those pay. Without options all of it takes minutes;
// results are printed as they come.
#include <ATen/ATen.h>
#include <ATen/Context.h>
#include <ATen/cuda/CUDAContextLight.h>
#include <c10/core/GradMode.h>
#include <c10/cuda/CUDACachingAllocator.h>

#include <CLI/CLI.hpp>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "bench_output.h"
#include "common/status_macros.h"
#include "gpu_tables.h"
#include "gpu_timing.h"
#include "tests/fakes/vit_model.h"
#include "worker/jepa/model/attention.h"
#include "worker/jepa/model/networks.h"
#include "worker/jepa/model/optimizer.h"
#include "worker/jepa/model/patches.h"
#include "worker/jepa/model/shard_pass.h"
#include "worker/jepa/plan/arithmetic.h"
#include "worker/jepa/plan/masks.h"
#include "worker/jepa/plan/random.h"

namespace jepa::bench {
namespace {

using nlohmann::json;

struct Flags {
  std::string model = "vit_huge", rungs = "S0,S1,S2,S3,S3g,S4";
  int patch = 14, crop = 224, batch = 128, steps = 30, shapes = 6;
  bool json = false, tables = true;
};

constexpr UpdateRates kRates{.lr = 1e-4, .weight_decay = 0.04, .ema_momentum = 0.996};
constexpr double kBeta1 = 0.9, kBeta2 = 0.999;
constexpr double kH200Tflops = 989, kA100Tflops = 312;

struct Rung {
  std::string name;
  KernelChoice kernels;
  bool plain_optimizer = false;  // Tensor by tensor; math attention; the loss is read.
  bool graphs = false;
};

std::vector<Rung> Rungs(const std::string& wanted) {
  const KernelChoice without_gelu{.add_norm = true, .direct = true, .take_rows = true};
  KernelChoice bf16_residual = KernelChoice::All();
  bf16_residual.bf16_residual = true;
  const std::vector<Rung> all{{"S0", {}, true},
                              {"S1", {}},
                              {"S2", without_gelu},
                              {"S3", KernelChoice::All()},
                              {"S3g", KernelChoice::All(), false, true},
                              {"S4", bf16_residual}};
  std::vector<Rung> rungs;
  for (const Rung& rung : all) {
    if (absl::StrCat(",", wanted, ",").find(absl::StrCat(",", rung.name, ",")) !=
        std::string::npos) {
      rungs.push_back(rung);
    }
  }
  return rungs;
}

// The published pairing of an encoder with its predictor.
absl::StatusOr<ModelConfig> ModelOf(const Flags& flags) {
  IJEPA_ASSIGN_OR_RETURN(const EncoderShape shape, EncoderByName(flags.model));
  const int pred_depth = shape.depth == 40 ? 16 : (shape.depth > 12 ? 12 : 6);
  return VitModel(flags.model, flags.patch, flags.crop, pred_depth);
}

// What every rung runs on: the same pixels, the same masks over and over.
struct Input {
  ModelConfig model;
  MaskConfig mask;
  int batch = 0;
  std::vector<uint8_t> pixels;
  std::vector<MaskBatch> masks;

  double FlopOf(const MaskBatch& step) const {
    return batch * FlopPerImage(model, mask,
                                {.context_patches = static_cast<double>(step.context_patches),
                                 .target_patches = static_cast<double>(step.target_patches)})
                       .total();
  }
  StepTokens MeanTokens() const {
    StepTokens tokens{.images = batch};
    for (const MaskBatch& step : masks) {
      tokens.context += step.context_patches;
      tokens.target += step.target_patches;
    }
    tokens.context /= static_cast<int64_t>(masks.size());
    tokens.target /= static_cast<int64_t>(masks.size());
    return tokens;
  }
};

absl::StatusOr<Input> MakeInput(const Flags& flags) {
  Input input{.mask = {.patch_size = flags.patch}, .batch = flags.batch};
  IJEPA_ASSIGN_OR_RETURN(input.model, ModelOf(flags));
  const int grid = input.model.grid_height;
  const auto sampler = NewMaskSampler(input.mask, {grid, grid}, /*seed=*/1, /*shard=*/0);
  for (int step = 0; step < flags.shapes; ++step) {
    IJEPA_ASSIGN_OR_RETURN(MaskBatch masks, sampler->Sample(step, flags.batch));
    input.masks.push_back(std::move(masks));
  }
  input.pixels.resize(static_cast<size_t>(flags.batch) * 3 * flags.crop * flags.crop);
  Philox random(1, Purpose::kCrop, 0, 0);
  for (uint8_t& pixel : input.pixels) pixel = static_cast<uint8_t>(random.Below(256));
  return input;
}

// AdamW and EMA as a plain training loop writes them.
class PlainOptimizer {
 public:
  explicit PlainOptimizer(FlatStorage* storage) : storage_(*storage) {}

  void Step() {
    const c10::NoGradGuard no_grad;
    ++step_;
    const double bias1 = 1 - std::pow(kBeta1, step_), bias2 = 1 - std::pow(kBeta2, step_);
    for (const FlatParameter& parameter : storage_.parameters()) {
      at::Tensor value = storage_.View(storage_.params, parameter);
      at::Tensor exp_avg = storage_.View(storage_.exp_avg, parameter);
      at::Tensor exp_avg_sq = storage_.View(storage_.exp_avg_sq, parameter);
      if (parameter.info.decays()) value.mul_(1 - kRates.lr * kRates.weight_decay);
      exp_avg.lerp_(parameter.grad, 1 - kBeta1);
      exp_avg_sq.mul_(kBeta2).addcmul_(parameter.grad, parameter.grad, 1 - kBeta2);
      const at::Tensor denominator = exp_avg_sq.sqrt().div_(std::sqrt(bias2)).add_(kAdamEps);
      value.addcdiv_(exp_avg, denominator, -kRates.lr / bias1);
      if (!parameter.encoder) continue;
      at::Tensor target = parameter.target;
      target.mul_(kRates.ema_momentum).add_(value, 1 - kRates.ema_momentum);
    }
  }

 private:
  FlatStorage& storage_;
  int64_t step_ = 0;
};

// The moments of one step: start, input on the device, targets, loss, gradient, update.
constexpr const char* kPhases[] = {"input", "target", "forward", "backward", "update"};
using StepMoments = std::vector<Moment>;

class RungRun {
 public:
  RungRun(const Input& input, const Rung& rung)
      : input_(input),
        rung_(rung),
        networks_(input.model, at::Device(at::kCUDA, 0), Precision::kBf16, rung.kernels),
        optimizer_(&networks_.storage(), kBeta1, kBeta2),
        plain_(&networks_.storage()),
        pass_(&networks_, CudaGraphs::kOn) {
    networks_.Initialise(InitMode::kReference, 1);
    Allow(true);
  }
  ~RungRun() { Allow(false); }
  RungRun(const RungRun&) = delete;
  RungRun& operator=(const RungRun&) = delete;

  StepMoments Step(const MaskBatch& masks) {
    StepMoments moments(1);
    if (rung_.graphs) {
      pass_.Run(input_.pixels.data(), input_.batch, masks, 1.0);
    } else {
      Pass(masks, &moments);
    }
    moments.emplace_back();
    FlatStorage& storage = networks_.storage();
    if (rung_.plain_optimizer) {
      plain_.Step();
    } else {
      optimizer_.Step(kRates);
    }
    storage.grad.zero_();
    moments.emplace_back();
    return moments;
  }

 private:
  // Math attention alone for the plain rung, until it ends.
  void Allow(bool begin) const {
    const bool fused = !(begin && rung_.plain_optimizer);
    at::globalContext().setSDPUseCuDNN(fused);
    at::globalContext().setSDPUseFlash(fused);
    at::globalContext().setSDPUseMemEfficient(fused);
  }

  void Pass(const MaskBatch& masks, StepMoments* moments) {
    const StepRows rows = MakeStepRows(masks, input_.batch, networks_.grid_patches(),
                                       networks_.device(), networks_.kernels());
    const at::Tensor patches = UnfoldedPixels(
        input_.model,
        PixelsToDevice(input_.model, input_.pixels.data(), input_.batch, networks_.device()),
        networks_.patch_type());
    moments->emplace_back();
    const at::Tensor targets = networks_.Targets(patches, rows);
    moments->emplace_back();
    const at::Tensor loss =
        networks_.LossOf(networks_.Predict(networks_.Context(patches, rows), rows), targets);
    moments->emplace_back();
    loss.backward();
    if (rung_.plain_optimizer) loss.item<double>();
  }

  const Input& input_;
  const Rung& rung_;
  Networks networks_;
  Optimizer optimizer_;
  PlainOptimizer plain_;
  ShardPass pass_;
};

json Measure(const Input& input, const Rung& rung, int steps) {
  c10::cuda::CUDACachingAllocator::emptyCache();
  c10::cuda::CUDACachingAllocator::resetPeakStats(0);
  RungRun run(input, rung);
  for (int round = 0; round < (rung.graphs ? 3 : 1); ++round) {  // Every shape, before timing.
    for (const MaskBatch& masks : input.masks) run.Step(masks);
  }
  std::vector<StepMoments> all;
  double flop = 0;
  for (int step = 0; step < steps; ++step) {
    const MaskBatch& masks = input.masks[step % input.masks.size()];
    all.push_back(run.Step(masks));
    flop += input.FlopOf(masks) / steps;
  }
  c10::cuda::device_synchronize();
  std::vector<double> times;
  std::vector<std::vector<double>> phases(std::size(kPhases));
  for (const StepMoments& moments : all) {
    times.push_back(moments.front().MillisecondsUntil(moments.back()));
    if (rung.graphs) continue;
    for (size_t i = 0; i < phases.size(); ++i) {
      phases[i].push_back(moments[i].MillisecondsUntil(moments[i + 1]));
    }
  }
  const Percentiles ms = PercentilesOf(times);
  const auto stats = c10::cuda::CUDACachingAllocator::getDeviceStats(0);
  json row{{"bench", "gpu_step"},
           {"rung", rung.name},
           {"median_ms", ms.median},
           {"p10_ms", ms.p10},
           {"p90_ms", ms.p90},
           {"images_per_s", input.batch / ms.median * 1e3},
           {"tflops", flop / ms.median / 1e9},
           {"peak_memory_gib", static_cast<double>(stats.allocated_bytes[0].peak) / (1 << 30)}};
  for (size_t i = 0; i < phases.size(); ++i) {
    if (phases[i].empty()) continue;
    row[absl::StrCat(kPhases[i], "_ms")] = PercentilesOf(phases[i]).median;
  }
  return row;
}

void PrintTable(const char* bench, const json& table, bool as_json) {
  for (json row : table) {
    row["bench"] = bench;
    PrintRow(row, as_json);
  }
}

absl::Status Run(const Flags& flags) {
  IJEPA_ASSIGN_OR_RETURN(const Input input, MakeInput(flags));
  c10::cuda::setCurrentCUDAStream(c10::cuda::getStreamFromPool(false, 0));
  SetCudaAttentionOrder();
  const cudaDeviceProp& device = *at::cuda::getDeviceProperties(0);
  const double peak = device.major >= 9 ? kH200Tflops : kA100Tflops;
  const double measured = MeasuredPeakTflops();
  const StepTokens tokens = input.MeanTokens();
  PrintRow({{"bench", "gpu_env"},
            {"gpu", device.name},
            {"model", absl::StrCat(flags.model, "/", flags.patch)},
            {"batch", flags.batch},
            {"n_c", tokens.context},
            {"n_p", tokens.target},
            {"gflop_per_image", input.FlopOf(input.masks[0]) / flags.batch / 1e9},
            {"peak_tflops", peak},
            {"measured_peak_tflops", measured}},
           flags.json);
  const PredictorShape shape{.images = flags.batch,
                             .context_blocks = 1,
                             .context_patches = tokens.context,
                             .target_blocks = 4,
                             .target_patches = tokens.target};
  for (const Rung& rung : Rungs(flags.rungs)) {
    if (rung.graphs && !GraphPays(input.model, shape)) continue;
    try {
      json row = Measure(input, rung, flags.steps);
      row["mfu"] = row["tflops"].get<double>() / peak;
      row["mfu_of_measured"] = row["tflops"].get<double>() / measured;
      PrintRow(row, flags.json);
    } catch (const c10::Error& e) {  // One rung that does not fit must not cost the others.
      PrintRow({{"bench", "gpu_step"}, {"rung", rung.name}, {"error", e.what_without_backtrace()}},
               flags.json);
    }
  }
  if (!flags.tables) return absl::OkStatus();
  PrintTable("gpu_gemm", GemmTable(input.model, tokens), flags.json);
  PrintTable("gpu_attention", AttentionTable(input.model, tokens), flags.json);
  PrintTable("gpu_kernel", KernelTable(input.model, tokens), flags.json);
  return absl::OkStatus();
}

}  // namespace
}  // namespace jepa::bench

int main(int argc, char** argv) {
  jepa::bench::Flags flags;
  CLI::App app("Times training steps on one GPU: the ladder S0 to S4, and tables of its parts.");
  app.add_flag("--json", flags.json, "One JSON object per line.");
  app.add_option("--model", flags.model, "Encoder: vit_tiny ... vit_giant.");
  app.add_option("--patch", flags.patch, "Pixels.");
  app.add_option("--crop", flags.crop, "Pixels.");
  app.add_option("--batch", flags.batch, "Images.");
  app.add_option("--steps", flags.steps, "Timed steps of a rung.")->check(CLI::Range(1, 10000));
  app.add_option("--shapes", flags.shapes, "Mask batches.")->check(CLI::Range(1, 64));
  app.add_option("--rungs", flags.rungs, "Of S0,S1,S2,S3,S3g,S4.");
  app.add_flag("!--no-tables", flags.tables, "The ladder alone.");
  CLI11_PARSE(app, argc, argv);
  if (!at::hasCUDA()) {
    std::fprintf(stderr, "gpu_bench: no CUDA device is visible; this bench needs one\n");
    return 1;
  }
  try {
    return jepa::bench::EndBench("gpu_bench", jepa::bench::Run(flags));
  } catch (const c10::Error& e) {
    return jepa::bench::EndBench("gpu_bench", absl::InternalError(e.what_without_backtrace()));
  }
}
