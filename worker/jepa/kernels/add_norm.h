// Residual addition and LayerNorm in one pass, and its backward pass. No CUDA headers needed here.
//
// Rows [rows, width] are contiguous and aligned to 16 bytes; width is a multiple of kColumns, at
// most kMaxNormWidth. All sums have a fixed order: the same input gives the same bits.
#ifndef IJEPA_WORKER_JEPA_KERNELS_ADD_NORM_H_
#define IJEPA_WORKER_JEPA_KERNELS_ADD_NORM_H_

#include <cstdint>

#include "worker/jepa/kernels/element.h"

namespace jepa {

inline constexpr int64_t kMaxNormWidth = 4096;  // A block of 512 threads, eight columns each.

// sum = residual + branch, rounded to its type; normed = (x - mean) * rstd * gamma + beta of the
// unrounded x = residual + branch. Without a branch sum is neither needed nor written. Statistics
// in fp32 by two passes over the registers; the variance is that of the population. ijepa-spec 1.1.
// There the residual stream is fp32; a bf16 one differs from the original.
struct AddNormForward {
  const void* residual = nullptr;
  FloatType residual_type = FloatType::kFloat32;
  const void* branch = nullptr;  // May be null.
  FloatType branch_type = FloatType::kFloat32;
  const float* gamma = nullptr;
  const float* beta = nullptr;
  void* sum = nullptr;
  FloatType sum_type = FloatType::kFloat32;
  void* normed = nullptr;
  FloatType normed_type = FloatType::kFloat32;
  float* mean = nullptr;  // [rows]
  float* rstd = nullptr;  // [rows]
  int64_t rows = 0;
  int64_t width = 0;
  float eps = 0;
};

// grad_residual = grad_sum + the gradient through LayerNorm; grad_branch the same in another type.
struct AddNormBackward {
  const void* grad_normed = nullptr;
  FloatType normed_type = FloatType::kFloat32;
  const void* grad_sum = nullptr;  // Null: zero.
  const void* sum = nullptr;
  FloatType sum_type = FloatType::kFloat32;  // Of both.
  const float* mean = nullptr;
  const float* rstd = nullptr;
  const float* gamma = nullptr;
  void* grad_residual = nullptr;
  FloatType residual_type = FloatType::kFloat32;
  void* grad_branch = nullptr;  // Null: not wanted; one of the residual's type shares its gradient.
  FloatType branch_type = FloatType::kFloat32;
  float* partial = nullptr;  // Scratch [AddNormPartials(rows, width), 2, width].
  float* grad_gamma = nullptr;
  float* grad_beta = nullptr;
  bool accumulate = false;  // Adds to grad_gamma and grad_beta; else overwrites them.
  int64_t rows = 0;
  int64_t width = 0;
};

// Row groups whose sums of the gamma and beta gradients are kept apart: one block each. Depends on
// the shape alone, not on the GPU.
int64_t AddNormPartials(int64_t rows, int64_t width);

// Enqueue on `stream` (a cudaStream_t) and return at once: null, or the text of a CUDA error.
// Reference: residual + branch, then LayerNorm, in fp64; forward within 2e-6 of it for fp32 rows
// of order 1 and half a bf16 step more for bf16 ones.
const char* LaunchAddNorm(const AddNormForward& args, void* stream);
const char* LaunchAddNormBackward(const AddNormBackward& args, void* stream);

// The same on host memory, thread by thread in one thread: for tests where there is no GPU.
void AddNormOnHost(const AddNormForward& args);
void AddNormBackwardOnHost(const AddNormBackward& args);

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_KERNELS_ADD_NORM_H_
