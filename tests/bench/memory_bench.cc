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
#include <string>
#include <vector>

#include "tests/bench/bench_output.h"
#include "tests/bench/learner_steps.h"
#include "tests/fakes/vit_model.h"

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
  MeasuredSteps steps;
  int64_t resident_bytes = 0;  // Of the process, at its most.
};

// In the child.
Measured RunSteps(const BenchConfig& bench, int steps) {
  const absl::StatusOr<MeasuredSteps> measured = MeasureSteps(ConfigOf(bench), steps);
  if (!measured.ok()) std::exit(bench::EndBench("memory_bench", measured.status()));
  return {*measured, StatusBytes("VmHWM")};
}

// A process of its own, so that nothing of another configuration stays in memory.
Measured MeasureInChild(const char* program, const BenchConfig& bench, int steps) {
  const std::string command =
      std::string(program) + " --child " + bench.name + " --steps " + std::to_string(steps);
  Measured measured;
  FILE* child = popen(command.c_str(), "r");
  long long peak = 0, resident = 0;
  ExpectedMasks& largest = measured.steps.largest;
  if (child == nullptr ||
      std::fscanf(child, "%lld %lld %lf %lf", &peak, &resident, &largest.context_patches,
                  &largest.target_patches) != 4 ||
      pclose(child) != 0) {
    std::fprintf(stderr, "memory_bench: the child for %s failed\n", bench.name);
    std::exit(1);
  }
  measured.steps.peak_bytes = peak;
  measured.resident_bytes = resident;
  return measured;
}

// Returns the whole estimate over what was resident.
double Report(const BenchConfig& bench, const Measured& measured, bool json) {
  const auto& [peak_bytes, largest] = measured.steps;
  const MemoryEstimate estimate = EstimateFor(ConfigOf(bench), largest);
  const double of_tensors =
      static_cast<double>(estimate.tensor_bytes()) / static_cast<double>(peak_bytes);
  const double of_all =
      static_cast<double>(estimate.total_bytes()) / static_cast<double>(measured.resident_bytes);
  bench::PrintRow({{"bench", "memory"},
                   {"config", bench.name},
                   {"peak_bytes", peak_bytes},
                   {"estimate_bytes", estimate.tensor_bytes()},
                   {"estimate_over_peak", of_tensors},
                   {"state_bytes", estimate.state_bytes},
                   {"activation_bytes", estimate.activation_bytes},
                   {"resident_peak_bytes", measured.resident_bytes},
                   {"total_estimate_bytes", estimate.total_bytes()},
                   {"total_over_resident", of_all},
                   {"context_patches", largest.context_patches},
                   {"target_patches", largest.target_patches}},
                  json);
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
      std::printf("%lld %lld %.0f %.0f\n", static_cast<long long>(measured.steps.peak_bytes),
                  static_cast<long long>(measured.resident_bytes),
                  measured.steps.largest.context_patches, measured.steps.largest.target_patches);
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
