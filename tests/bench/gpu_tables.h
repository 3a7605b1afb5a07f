// Tables of gpu_bench that stand beside the ladder: matrix products, attention, our own kernels.
#ifndef IJEPA_TESTS_BENCH_GPU_TABLES_H_
#define IJEPA_TESTS_BENCH_GPU_TABLES_H_

#include <cstdint>
#include <nlohmann/json.hpp>

#include "worker/jepa/config.h"

namespace jepa::bench {

// Tokens of a step: images, and kept context and target patches per image.
struct StepTokens {
  int64_t images = 0;
  int64_t context = 0;
  int64_t target = 0;
};

// Rows of objects, one per line of the table. bf16, random data.
nlohmann::json GemmTable(const ModelConfig& model, const StepTokens& tokens);
nlohmann::json AttentionTable(const ModelConfig& model, const StepTokens& tokens);
nlohmann::json KernelTable(const ModelConfig& model, const StepTokens& tokens);
// TFLOP/s of a product of 8192^3: the second denominator of MFU.
double MeasuredPeakTflops();

}  // namespace jepa::bench

#endif  // IJEPA_TESTS_BENCH_GPU_TABLES_H_
