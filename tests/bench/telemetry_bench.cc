// What telemetry costs: each step is measured, its parts and the step itself are timed in the same
// run, and the share of a step is given for measuring every --every steps. CPU time of the calling
// thread, one thread.
//
// usage: telemetry_bench [--json] [--steps N] [--every N] [--config NAME]
#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>
#include <vector>

#include "common/check.h"
#include "tests/bench/median.h"
#include "tests/fakes/vit_model.h"
#include "worker/jepa/model/networks.h"
#include "worker/jepa/model/optimizer.h"
#include "worker/jepa/model/patches.h"
#include "worker/jepa/model/telemetry.h"
#include "worker/jepa/plan/masks.h"
#include "worker/jepa/plan/random.h"

namespace jepa {
namespace {

struct BenchConfig {
  const char* name;
  TrainConfig train;
};

std::vector<BenchConfig> Configs() {
  TrainConfig cifar;
  cifar.data.batch_size = 32;
  cifar.mask = {.patch_size = 4, .min_keep = 4, .mode = MaskMode::kFixed};
  cifar.model = {.grid_height = 8,
                 .grid_width = 8,
                 .patch_size = 4,
                 .embed_dim = 64,
                 .depth = 4,
                 .num_heads = 4,
                 .mlp_hidden = 256,
                 .pred_depth = 2,
                 .pred_embed_dim = 64,
                 .pred_mlp_hidden = 256};
  TrainConfig tiny;
  tiny.data.batch_size = 16;
  tiny.model = VitModel("vit_tiny", 16, 224, /*pred_depth=*/6).value();
  return {{"cifar64", cifar}, {"vit_tiny16_224", tiny}};
}

double ThreadCpuMs() {
  timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return now.tv_sec * 1e3 + now.tv_nsec * 1e-6;
}

// Milliseconds of each step.
struct Samples {
  std::vector<double> step;  // Without telemetry.
  std::vector<double> features;
  std::vector<double> parameters;
  std::vector<double> read;
};

class Bench {
 public:
  explicit Bench(const TrainConfig& config)
      : config_(config),
        networks_(config.model, at::kCPU, Precision::kFp32),
        optimizer_(&networks_.storage(), 0.9, 0.95),
        meter_(networks_.storage(), config) {
    networks_.Initialise(InitMode::kClean, 1);
    const int side = config.model.grid_width * config.model.patch_size;
    pixels_.resize(static_cast<size_t>(config.data.batch_size) * 3 * side * side);
    Philox random(1, Purpose::kCrop, 0, 0);
    for (uint8_t& pixel : pixels_) pixel = static_cast<uint8_t>(random.Below(256));
  }

  void Step(const MaskBatch& masks, Samples* samples) {
    FlatStorage& storage = networks_.storage();
    const UpdateRates rates{.lr = 1e-3, .weight_decay = 0.05, .ema_momentum = 0.99};
    meter_.Start();
    double marks[5];
    marks[0] = ThreadCpuMs();
    const StepRows rows =
        MakeStepRows(masks, config_.data.batch_size, networks_.grid_patches(), networks_.device());
    const at::Tensor patches =
        PatchesOfPixels(config_.model, pixels_.data(), config_.data.batch_size, networks_.device());
    StepFeatures features;
    networks_.Loss(patches, rows, &features).backward();
    marks[1] = ThreadCpuMs();
    meter_.TakeShard(features, rows.shape);
    marks[2] = ThreadCpuMs();
    storage.grad.norm().item<double>();
    optimizer_.Step(rates);
    marks[3] = ThreadCpuMs();
    IJEPA_CHECK(meter_.TakeUpdate(rates.lr, optimizer_.step(), nullptr).ok());
    marks[4] = ThreadCpuMs();
    meter_.Read();
    const double read = ThreadCpuMs();
    storage.grad.zero_();
    const double end = ThreadCpuMs();
    samples->step.push_back(marks[1] - marks[0] + marks[3] - marks[2] + end - read);
    samples->features.push_back(marks[2] - marks[1]);
    samples->parameters.push_back(marks[4] - marks[3]);
    samples->read.push_back(read - marks[4]);
  }

 private:
  TrainConfig config_;
  Networks networks_;
  Optimizer optimizer_;
  TelemetryMeter meter_;
  std::vector<uint8_t> pixels_;
};

void Report(const BenchConfig& config, const Samples& samples, int every, bool json) {
  const double step = bench::Median(samples.step), features = bench::Median(samples.features),
               parameters = bench::Median(samples.parameters), read = bench::Median(samples.read);
  const double share = (features + parameters + read) / (step * every);
  std::printf(json ? "{\"bench\":\"telemetry\",\"config\":\"%s\",\"batch\":%d,\"step_ms\":%.3f,"
                     "\"features_ms\":%.3f,\"parameters_ms\":%.3f,\"read_ms\":%.3f,\"every\":%d,"
                     "\"share_of_step\":%.6f}\n"
                   : "%-16s batch %d: step %.2f ms; features %.2f, parameters %.2f, read %.2f ms; "
                     "every %d steps: share %.6f of the time\n",
              config.name, config.train.data.batch_size, step, features, parameters, read, every,
              share);
}

void Run(const BenchConfig& config, int steps, int every, bool json) {
  Bench bench(config.train);
  const ModelConfig& model = config.train.model;
  const auto sampler =
      NewMaskSampler(config.train.mask, {model.grid_height, model.grid_width}, /*seed=*/1, 0);
  Samples samples;
  const int warm_up = 2;
  for (int step = 0; step < warm_up + steps; ++step) {
    if (step == warm_up) samples = {};
    const auto masks = sampler->Sample(step, config.train.data.batch_size);
    if (!masks.ok()) {
      std::fprintf(stderr, "telemetry_bench: %s\n", masks.status().ToString().c_str());
      std::exit(1);
    }
    bench.Step(*masks, &samples);
  }
  Report(config, samples, every, json);
}

}  // namespace
}  // namespace jepa

int main(int argc, char** argv) {
  bool json = false;
  int steps = 20;
  int every = jepa::TelemetryConfig().every_steps;
  std::string only;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--json") == 0) {
      json = true;
    } else if (std::strcmp(argv[i], "--steps") == 0 && i + 1 < argc) {
      steps = std::max(1, std::atoi(argv[++i]));
    } else if (std::strcmp(argv[i], "--every") == 0 && i + 1 < argc) {
      every = std::max(1, std::atoi(argv[++i]));
    } else if (std::strcmp(argv[i], "--config") == 0 && i + 1 < argc) {
      only = argv[++i];
    } else {
      std::fprintf(stderr,
                   "usage: telemetry_bench [--json] [--steps N] [--every N] [--config NAME]\n");
      return 2;
    }
  }
  at::set_num_threads(1);
  for (const jepa::BenchConfig& config : jepa::Configs()) {
    if (only.empty() || only == config.name) jepa::Run(config, steps, every, json);
  }
  return 0;
}
