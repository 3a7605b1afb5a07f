// One training step of one rank, taken apart for timing: the same calls as the learner makes, on
// random pixels.
#ifndef IJEPA_TESTS_BENCH_BENCH_STEP_H_
#define IJEPA_TESTS_BENCH_BENCH_STEP_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "worker/jepa/config.h"
#include "worker/jepa/model/networks.h"
#include "worker/jepa/model/optimizer.h"
#include "worker/jepa/plan/masks.h"

namespace jepa::bench {

struct BenchConfig {
  std::string name;
  ModelConfig model;
  MaskConfig mask;
  int batch = 16;
  int threads = 1;
  Precision precision = Precision::kFp32;
};

// Rates of every step, on both sides.
inline constexpr double kBenchLr = 1e-4;
inline constexpr double kBenchWeightDecay = 0.05;
inline constexpr double kBenchEma = 0.996;
inline constexpr double kBenchBeta1 = 0.9;
inline constexpr double kBenchBeta2 = 0.95;

// Milliseconds of the parts of a step, in order.
struct StepTimes {
  std::vector<std::pair<std::string, double>> parts;
  double wall_ms = 0;
  double cpu_ms = 0;  // Of the whole process.
  double loss = 0;
};

class BenchStep {
 public:
  explicit BenchStep(const BenchConfig& config);

  StepTimes Run(const MaskBatch& masks);
  // Weights in the order of the published state dicts as fp32, then the pixels: what the peer
  // begins with.
  absl::Status WriteStart(const std::string& path) const;

 private:
  BenchConfig config_;
  std::vector<uint8_t> pixels_;  // [B, 3, H, W]
  Networks networks_;
  Optimizer optimizer_;
};

}  // namespace jepa::bench

#endif  // IJEPA_TESTS_BENCH_BENCH_STEP_H_
