// Choice of rows and its gradient. No CUDA headers needed here.
//
// Row numbers are int32, flat, computed once per step: no [K, D] int64 index as at::gather needs.
#ifndef IJEPA_WORKER_JEPA_KERNELS_ROWS_H_
#define IJEPA_WORKER_JEPA_KERNELS_ROWS_H_

#include <cstdint>
#include <vector>

#include "worker/jepa/kernels/element.h"

namespace jepa {

// out[k] = in[rows[k]]: rows of `row_bytes` bytes, a multiple of 16, aligned to 16.
struct GatherRows {
  const void* in = nullptr;
  const int32_t* rows = nullptr;  // [count], on the device.
  void* out = nullptr;
  int64_t count = 0;
  int64_t row_bytes = 0;
};

// grad_in[r] = sum of grad_out[order[i]] for i in [starts[r], starts[r + 1]), in fp32, added in
// that order; zeros where the range is empty. So each row is stored once, without atomics: a plain
// copy where a row was taken once.
struct GatherRowsBackward {
  const void* grad_out = nullptr;
  const int32_t* starts = nullptr;  // [in_rows + 1]
  const int32_t* order = nullptr;   // [count]
  void* grad_in = nullptr;
  FloatType type = FloatType::kFloat32;
  int64_t in_rows = 0;
  int64_t width = 0;  // A multiple of kColumns.
};

// The inverse of a choice: for every row of the source where it went, ascending.
struct InverseRows {
  std::vector<int32_t> starts;
  std::vector<int32_t> order;
};
// Every entry of `rows` must be in [0, in_rows).
InverseRows InvertRows(const std::vector<int32_t>& rows, int64_t in_rows);

// Enqueue on `stream` (a cudaStream_t) and return at once: null, or the text of a CUDA error.
const char* LaunchGatherRows(const GatherRows& args, void* stream);
const char* LaunchGatherRowsBackward(const GatherRowsBackward& args, void* stream);

// The same on host memory: for tests where there is no GPU.
void GatherRowsOnHost(const GatherRows& args);
void GatherRowsBackwardOnHost(const GatherRowsBackward& args);

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_KERNELS_ROWS_H_
