// Sums over the rows of a small matrix of partial sums: the second stage of every gradient that is
// summed over tokens. Fixed order, no atomics.
#ifndef IJEPA_WORKER_JEPA_KERNELS_COLUMN_SUM_H_
#define IJEPA_WORKER_JEPA_KERNELS_COLUMN_SUM_H_

#include <cstdint>

namespace jepa {

// out[c] = (accumulate ? out[c] : 0) + sum over r of in[r * stride + c], c in [0, columns).
struct ColumnSum {
  const float* in = nullptr;
  int64_t rows = 0;
  int64_t columns = 0;
  int64_t stride = 0;
  float* out = nullptr;
  bool accumulate = false;
};

// Enqueues on `stream` (a cudaStream_t): null, or the text of a CUDA error.
const char* LaunchColumnSum(const ColumnSum& args, void* stream);
// The same order of additions on host memory.
void ColumnSumOnHost(const ColumnSum& args);

// Threads that share a column: each sums every kSumGroups-th row, then the groups are added in
// order.
inline constexpr int kSumGroups = 16;

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_KERNELS_COLUMN_SUM_H_
