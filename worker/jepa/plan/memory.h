// How much memory a rank needs.
#ifndef IJEPA_WORKER_JEPA_PLAN_MEMORY_H_
#define IJEPA_WORKER_JEPA_PLAN_MEMORY_H_

#include <cstdint>

#include "worker/jepa/config.h"
#include "worker/jepa/plan/arithmetic.h"

namespace jepa {

// Matrix products that oneDNN keeps compiled on CPU (model/learner.cc). A mask shape that is new
// compiles some fifty. Raising it keeps products of shapes that may come back, at nearly a MB each;
// below what a step has, those of the whole grid are compiled anew in every step.
inline constexpr int kCompiledProducts = 128;

struct MemoryOptions {
  int batch_size = 1;  // Images of a shard.
  Precision precision = Precision::kFp32;
  bool activation_checkpointing = false;
  Device device = Device::kCpu;
  int moment_ranks = 1;  // Ranks that share the moments out (ZeRO-1).
};

// The most that a rank holds at once, by what holds it. On CUDA `runtime_bytes` is of the GPU too.
struct MemoryEstimate {
  int64_t state_bytes = 0;       // Parameters, gradients, two moments, target, position tables.
  int64_t activation_bytes = 0;  // Of one shard, at the worst moment of a step.
  // What is not tensors. CPU: the process with LibTorch's code, compiled products, holes of the
  // heap. CUDA: context, workspaces, NCCL's buffers.
  int64_t runtime_bytes = 0;
  int64_t tensor_bytes() const { return state_bytes + activation_bytes; }
  int64_t total_bytes() const { return runtime_bytes + tensor_bytes(); }
};

// For steps whose masks keep `kept` patches. Tensors are counted one by one, as the networks of
// worker/jepa/model keep them; on CPU within 10 % of the peak of LibTorch's allocator
// (memory_estimate_test). runtime_bytes is fitted to a few runs: memory_bench sets total_bytes
// beside peak resident memory. CUDA is the same count with other constants and was not measured.
// Snapshots for checkpoints (as large as a rank's share of state_bytes less the gradients) and
// probes come on top.
MemoryEstimate EstimateMemory(const ModelConfig& model, const MaskConfig& mask, ExpectedMasks kept,
                              const MemoryOptions& options);

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_PLAN_MEMORY_H_
