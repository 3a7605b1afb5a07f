// How much memory a rank needs.
#ifndef IJEPA_WORKER_JEPA_PLAN_MEMORY_H_
#define IJEPA_WORKER_JEPA_PLAN_MEMORY_H_

#include <cstdint>

#include "worker/jepa/config.h"
#include "worker/jepa/plan/arithmetic.h"

namespace jepa {

struct MemoryOptions {
  int batch_size = 1;  // Images of a shard.
  Precision precision = Precision::kFp32;
  bool activation_checkpointing = false;
  Device device = Device::kCpu;
  int moment_ranks = 1;  // Ranks that share the moments out (ZeRO-1).
};

struct MemoryEstimate {
  int64_t state_bytes = 0;       // Parameters, gradients, two moments, target.
  int64_t activation_bytes = 0;  // Of one shard, at the worst moment of a step.
  // Process and libraries, about: the largest part of a tiny model. On CPU oneDNN keeps some
  // hundred MB of compiled products on top.
  int64_t runtime_bytes = 0;
  int64_t tensor_bytes() const { return state_bytes + activation_bytes; }
  int64_t total_bytes() const { return runtime_bytes + tensor_bytes(); }
};

// The most that a rank holds at once during training steps whose masks keep `kept` patches. Counts
// tensor by tensor what the networks of worker/jepa/model keep. Not calibrated: how near
// tensor_bytes is to the peak of LibTorch's allocator is what tests/bench/memory_bench prints.
// Loaders, snapshots for checkpoints and probes come on top.
MemoryEstimate EstimateMemory(const ModelConfig& model, const MaskConfig& mask, ExpectedMasks kept,
                              const MemoryOptions& options);

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_PLAN_MEMORY_H_
