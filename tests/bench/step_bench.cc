// How long the parts of a training step take, for small CPU models: CPU time of the calling thread,
// so that other load on the machine disturbs it little.
//
// usage: step_bench [--json] [--steps N] [--config NAME]
#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <map>
#include <string>
#include <vector>

#include "worker/jepa/model/networks.h"
#include "worker/jepa/model/optimizer.h"
#include "worker/jepa/model/patches.h"
#include "worker/jepa/plan/masks.h"
#include "worker/jepa/plan/random.h"

namespace jepa {
namespace {

struct BenchConfig {
  const char* name;
  ModelConfig model;
  MaskConfig mask;
  int batch;
};

ModelConfig Cifar(int width, int pred_width) {
  return {.grid_height = 8,
          .grid_width = 8,
          .patch_size = 4,
          .embed_dim = width,
          .depth = 4,
          .num_heads = 4,
          .mlp_hidden = 4 * width,
          .pred_depth = 2,
          .pred_embed_dim = pred_width,
          .pred_mlp_hidden = 4 * pred_width};
}

std::vector<BenchConfig> Configs() {
  const MaskConfig mask{.patch_size = 4, .min_keep = 4, .mode = MaskMode::kFixed};
  return {{"cifar64", Cifar(64, 64), mask, 32},
          {"cifar96", Cifar(96, 96), mask, 32},
          {"cifar192", Cifar(192, 96), mask, 32}};
}

double ThreadCpuMs() {
  timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return now.tv_sec * 1e3 + now.tv_nsec * 1e-6;
}

double WallMs() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration<double, std::milli>(now).count();
}

// Milliseconds of every step, by part.
using Samples = std::map<std::string, std::vector<double>>;

class Lap {
 public:
  explicit Lap(Samples* samples) : samples_(samples), last_(ThreadCpuMs()) {}
  void End(const std::string& part) {
    const double now = ThreadCpuMs();
    (*samples_)[part].push_back(now - last_);
    last_ = now;
  }

 private:
  Samples* samples_;
  double last_;
};

struct BenchState {
  explicit BenchState(const BenchConfig& config)
      : networks(config.model, at::kCPU, Precision::kFp32),
        optimizer(&networks.storage(), 0.9, 0.95) {
    networks.Initialise(InitMode::kClean, 1);
    const int side = config.model.grid_width * config.model.patch_size;
    pixels.resize(static_cast<size_t>(config.batch) * 3 * side * side);
    Philox random(1, Purpose::kCrop, 0, 0);
    for (uint8_t& pixel : pixels) pixel = static_cast<uint8_t>(random.Below(256));
  }

  std::vector<uint8_t> pixels;
  Networks networks;
  Optimizer optimizer;
  Samples samples;
};

void RunStep(const BenchConfig& config, const MaskBatch& masks, BenchState* state) {
  Networks* networks = &state->networks;
  Lap lap(&state->samples);
  const StepRows rows =
      MakeStepRows(masks, config.batch, networks->grid_patches(), networks->device());
  const at::Tensor patches =
      PatchesOfPixels(config.model, state->pixels.data(), config.batch, networks->device());
  lap.End("1 input");
  const at::Tensor targets = networks->Targets(patches, rows);
  lap.End("2 target");
  const at::Tensor context = networks->Context(patches, rows);
  lap.End("3 context");
  const at::Tensor predictions = networks->Predict(context, rows);
  lap.End("4 predictor");
  const at::Tensor loss = networks->LossOf(predictions, targets);
  loss.backward();
  lap.End("5 backward");
  FlatStorage& storage = networks->storage();
  storage.grad.norm().item<double>();
  state->optimizer.Step({.lr = 1e-3, .weight_decay = 0.05, .ema_momentum = 0.99});
  storage.grad.zero_();
  lap.End("6 optimizer");
}

// The tenth percentile: other load on the machine only ever adds.
double Typical(std::vector<double> values) {
  const auto at = values.begin() + values.size() / 10;
  std::nth_element(values.begin(), at, values.end());
  return *at;
}

void Report(const BenchConfig& config, const Samples& samples, double wall, bool json) {
  double total = 0;
  for (const auto& [part, values] : samples) total += Typical(values);
  if (json) {
    std::printf("{\"bench\":\"step\",\"config\":\"%s\",\"batch\":%d", config.name, config.batch);
    for (const auto& [part, values] : samples) {
      std::printf(",\"%s_ms\":%.3f", part.c_str() + 2, Typical(values));
    }
    std::printf(",\"step_cpu_ms\":%.3f,\"step_wall_ms\":%.3f,\"images_per_cpu_second\":%.1f}\n",
                total, wall, config.batch / total * 1e3);
    return;
  }
  std::printf("%-10s batch %d:", config.name, config.batch);
  for (const auto& [part, values] : samples) {
    std::printf(" %s %.2f", part.c_str() + 2, Typical(values));
  }
  std::printf(" | step %.2f ms CPU, %.2f ms wall, %.0f images per CPU second\n", total, wall,
              config.batch / total * 1e3);
}

void RunBench(const BenchConfig& config, int steps, bool json) {
  BenchState state(config);
  const auto sampler = NewMaskSampler(
      config.mask, {config.model.grid_height, config.model.grid_width}, /*seed=*/1, /*shard=*/0);
  std::vector<double> wall;
  const int warm_up = steps / 10 + 1;
  for (int step = 0; step < warm_up + steps; ++step) {
    if (step == warm_up) state.samples.clear();
    const auto masks = sampler->Sample(step, config.batch);
    if (!masks.ok()) {
      std::fprintf(stderr, "step_bench: %s\n", masks.status().ToString().c_str());
      std::exit(1);
    }
    const double start = WallMs();
    RunStep(config, *masks, &state);
    if (step >= warm_up) wall.push_back(WallMs() - start);
  }
  Report(config, state.samples, Typical(wall), json);
}

}  // namespace
}  // namespace jepa

int main(int argc, char** argv) {
  bool json = false;
  int steps = 60;
  std::string only;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--json") == 0) {
      json = true;
    } else if (std::strcmp(argv[i], "--steps") == 0 && i + 1 < argc) {
      steps = std::max(1, std::atoi(argv[++i]));
    } else if (std::strcmp(argv[i], "--config") == 0 && i + 1 < argc) {
      only = argv[++i];
    } else {
      std::fprintf(stderr, "usage: step_bench [--json] [--steps N] [--config NAME]\n");
      return 2;
    }
  }
  at::set_num_threads(1);
  for (const jepa::BenchConfig& config : jepa::Configs()) {
    if (only.empty() || only == config.name) jepa::RunBench(config, steps, json);
  }
  return 0;
}
