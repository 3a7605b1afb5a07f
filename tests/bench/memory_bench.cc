// How near EstimateMemory comes to what a rank takes: real steps of the learner, in a child process
// each. Tensors against the peak of LibTorch's allocator, the whole against the peak of resident
// memory. Mask shapes differ from step to step, so that some steps fill oneDNN's cache of products.
//
// usage: memory_bench [--json] [--config NAME] [--steps N] [--within SHARE]
//
// --within: fails if a whole estimate is off by more than this share.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "tests/bench/tensor_peak.h"
#include "tests/fakes/vit_model.h"
#include "worker/jepa/model/learner.h"
#include "worker/jepa/plan/arithmetic.h"
#include "worker/jepa/plan/memory.h"
#include "worker/jepa/plan/random.h"

namespace jepa {
namespace {

struct BenchConfig {
  const char* name;
  const char* encoder;
  int patch;
  int batch;
  bool checkpointing;
  Precision precision = Precision::kFp32;
};

constexpr BenchConfig kConfigs[] = {
    {"tiny16-b4", "vit_tiny", 16, 4, false},
    {"tiny16-b4-ac", "vit_tiny", 16, 4, true},
    {"tiny16-b8", "vit_tiny", 16, 8, false},
    {"tiny16-b8-ac", "vit_tiny", 16, 8, true},
    {"tiny16-b16", "vit_tiny", 16, 16, false},
    {"tiny16-b16-ac", "vit_tiny", 16, 16, true},
    {"small16-b4", "vit_small", 16, 4, false},
    {"small16-b4-ac", "vit_small", 16, 4, true},
    {"small16-b16", "vit_small", 16, 16, false},
    {"small16-b16-ac", "vit_small", 16, 16, true},
    {"base16-b4", "vit_base", 16, 4, false},
    {"base16-b4-ac", "vit_base", 16, 4, true},
    {"base16-b16", "vit_base", 16, 16, false},
    {"base16-b16-ac", "vit_base", 16, 16, true},
    {"small8-b4", "vit_small", 8, 4, false},
    {"small8-b4-ac", "vit_small", 8, 4, true},
    {"tiny16-b4-bf16", "vit_tiny", 16, 4, false, Precision::kBf16},
    {"base16-b4-bf16", "vit_base", 16, 4, false, Precision::kBf16},
};

TrainConfig ConfigOf(const BenchConfig& bench) {
  TrainConfig config;
  config.data.batch_size = bench.batch;
  config.mask.patch_size = bench.patch;
  config.mask.mode = MaskMode::kFixed;
  config.model =
      VitModel(bench.encoder, bench.patch, config.data.crop_size.height, /*pred_depth=*/6).value();
  config.activation_checkpointing = bench.checkpointing;
  config.precision = bench.precision;
  config.seed = 1;
  return config;
}

// A line of /proc/self/status in bytes.
int64_t StatusBytes(const std::string& key) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.rfind(key + ":", 0) == 0) return std::atoll(line.c_str() + key.size() + 1) * 1024;
  }
  return 0;
}

// What a child tells its parent.
struct Measured {
  int64_t peak_bytes = 0;      // Of tensors.
  int64_t resident_bytes = 0;  // Of the process.
  ExpectedMasks largest;
};

// In the child. The steps are those of a training run: masks differ from step to step.
Measured RunSteps(const BenchConfig& bench, int steps) {
  const TrainConfig config = ConfigOf(bench);
  Measured measured;
  const TensorPeak peak;
  auto learner = Learner::Create(config).value();
  Batch batch;
  batch.images = bench.batch;
  batch.pixels.resize(size_t{3} * bench.batch * config.data.crop_size.height *
                      config.data.crop_size.width);
  Philox random(1, Purpose::kCrop, 0, 0);
  for (uint8_t& pixel : batch.pixels) pixel = static_cast<uint8_t>(random.Next());
  const MaskGrid grid{config.model.grid_height, config.model.grid_width};
  const auto sampler = NewMaskSampler(config.mask, grid, config.seed, /*shard=*/0);
  for (int step = 0; step < steps; ++step) {
    const MaskBatch masks = sampler->Sample(step, bench.batch).value();
    ExpectedMasks& largest = measured.largest;
    largest.context_patches = std::max<double>(largest.context_patches, masks.context_patches);
    largest.target_patches = std::max<double>(largest.target_patches, masks.target_patches);
    learner->AccumulateShard(batch, masks, 1.0).value();
    learner->Update({.lr = 1e-3, .weight_decay = 0.05, .ema_momentum = 0.99}).value();
  }
  measured.peak_bytes = peak.bytes();
  measured.resident_bytes = StatusBytes("VmHWM");
  return measured;
}

// A process of its own, so that nothing of another configuration stays in memory.
Measured MeasureInChild(const char* program, const BenchConfig& bench, int steps) {
  const std::string command =
      std::string(program) + " --child " + bench.name + " --steps " + std::to_string(steps);
  Measured measured;
  FILE* child = popen(command.c_str(), "r");
  long long peak = 0, resident = 0;
  if (child == nullptr ||
      std::fscanf(child, "%lld %lld %lf %lf", &peak, &resident, &measured.largest.context_patches,
                  &measured.largest.target_patches) != 4 ||
      pclose(child) != 0) {
    std::fprintf(stderr, "memory_bench: the child for %s failed\n", bench.name);
    std::exit(1);
  }
  measured.peak_bytes = peak;
  measured.resident_bytes = resident;
  return measured;
}

// Returns the whole estimate over what was resident.
double Report(const BenchConfig& bench, const Measured& measured, bool json) {
  const TrainConfig config = ConfigOf(bench);
  const MemoryEstimate estimate = EstimateMemory(config.model, config.mask, measured.largest,
                                                 {.batch_size = bench.batch,
                                                  .precision = bench.precision,
                                                  .activation_checkpointing = bench.checkpointing});
  const double of_tensors =
      static_cast<double>(estimate.tensor_bytes()) / static_cast<double>(measured.peak_bytes);
  const double of_all =
      static_cast<double>(estimate.total_bytes()) / static_cast<double>(measured.resident_bytes);
  if (json) {
    std::printf(
        "{\"bench\":\"memory\",\"config\":\"%s\",\"model\":\"%s\",\"patch\":%d,\"crop\":224,"
        "\"batch\":%d,\"activation_checkpointing\":%s,\"peak_bytes\":%lld,\"estimate_bytes\":%lld,"
        "\"estimate_over_peak\":%.4f,\"state_bytes\":%lld,\"activation_bytes\":%lld,"
        "\"resident_peak_bytes\":%lld,\"total_estimate_bytes\":%lld,\"total_over_resident\":%.4f,"
        "\"context_patches\":%.0f,\"target_patches\":%.0f}\n",
        bench.name, bench.encoder, bench.patch, bench.batch, bench.checkpointing ? "true" : "false",
        static_cast<long long>(measured.peak_bytes),
        static_cast<long long>(estimate.tensor_bytes()), of_tensors,
        static_cast<long long>(estimate.state_bytes),
        static_cast<long long>(estimate.activation_bytes),
        static_cast<long long>(measured.resident_bytes),
        static_cast<long long>(estimate.total_bytes()), of_all, measured.largest.context_patches,
        measured.largest.target_patches);
    return of_all;
  }
  constexpr double kMebi = 1 << 20;
  std::printf(
      "%-15s tensors %7.1f MiB, estimate %7.1f (state %.1f, activations %.1f) %+.1f %%; resident "
      "%7.1f MiB, estimate %7.1f %+.1f %%\n",
      bench.name, measured.peak_bytes / kMebi, estimate.tensor_bytes() / kMebi,
      estimate.state_bytes / kMebi, estimate.activation_bytes / kMebi, 100 * (of_tensors - 1),
      measured.resident_bytes / kMebi, estimate.total_bytes() / kMebi, 100 * (of_all - 1));
  return of_all;
}

struct Arguments {
  bool json = false;
  int steps = 8;
  double within = 0;  // 0: any.
  std::string only;
  bool child = false;
};

bool Parse(int argc, char** argv, Arguments* arguments) {
  for (int i = 1; i < argc; ++i) {
    const bool has_value = i + 1 < argc;
    if (std::strcmp(argv[i], "--json") == 0) {
      arguments->json = true;
    } else if (std::strcmp(argv[i], "--steps") == 0 && has_value) {
      arguments->steps = std::max(1, std::atoi(argv[++i]));
    } else if (std::strcmp(argv[i], "--within") == 0 && has_value) {
      arguments->within = std::atof(argv[++i]);
    } else if (std::strcmp(argv[i], "--config") == 0 && has_value) {
      arguments->only = argv[++i];
    } else if (std::strcmp(argv[i], "--child") == 0 && has_value) {
      arguments->child = true;
      arguments->only = argv[++i];
    } else {
      return false;
    }
  }
  return true;
}

int Main(int argc, char** argv) {
  Arguments arguments;
  if (!Parse(argc, argv, &arguments)) {
    std::fprintf(stderr,
                 "usage: memory_bench [--json] [--config NAME] [--steps N] [--within SHARE]\n");
    return 2;
  }
  bool within = true;
  for (const BenchConfig& bench : kConfigs) {
    if (!arguments.only.empty() && arguments.only != bench.name) continue;
    if (arguments.child) {
      const Measured measured = RunSteps(bench, arguments.steps);
      std::printf("%lld %lld %.0f %.0f\n", static_cast<long long>(measured.peak_bytes),
                  static_cast<long long>(measured.resident_bytes), measured.largest.context_patches,
                  measured.largest.target_patches);
    } else {
      const double ratio =
          Report(bench, MeasureInChild(argv[0], bench, arguments.steps), arguments.json);
      std::fflush(stdout);
      within = within && (arguments.within == 0 || std::abs(ratio - 1) <= arguments.within);
    }
  }
  return within ? 0 : 1;
}

}  // namespace
}  // namespace jepa

int main(int argc, char** argv) { return jepa::Main(argc, argv); }
