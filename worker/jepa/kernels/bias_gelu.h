// Bias and exact (erf) GELU in one pass, and its backward pass with the bias gradient. No CUDA
// headers needed here.
//
// Rows [rows, width] are contiguous and aligned to 16 bytes; width is a multiple of kColumns. Sums
// have a fixed order. The product comes without its bias, so that backward can add both up itself.
#ifndef IJEPA_WORKER_JEPA_KERNELS_BIAS_GELU_H_
#define IJEPA_WORKER_JEPA_KERNELS_BIAS_GELU_H_

#include <cstdint>

#include "worker/jepa/kernels/element.h"

namespace jepa {

// out = gelu(product + bias), in fp32, rounded once to `type`. ijepa-spec 1.1.
// Differs from a bf16 linear layer followed by GELU: the sum of product and bias is not rounded to
// bf16 before GELU, because it never leaves the registers.
struct BiasGeluForward {
  const void* product = nullptr;
  const float* bias = nullptr;  // [width]
  void* out = nullptr;
  FloatType type = FloatType::kFloat32;
  int64_t rows = 0;
  int64_t width = 0;
};

// grad_product = grad_out * gelu'(product + bias); grad_bias is the sum over rows of the fp32 value
// before it is rounded. grad_product may be grad_out.
struct BiasGeluBackward {
  const void* grad_out = nullptr;
  const void* product = nullptr;
  const float* bias = nullptr;
  void* grad_product = nullptr;
  float* partial = nullptr;    // Scratch [BiasGeluPartials(rows, width), width].
  float* grad_bias = nullptr;  // Overwritten, or added to if `accumulate`.
  bool accumulate = false;
  FloatType type = FloatType::kFloat32;
  int64_t rows = 0;
  int64_t width = 0;
};

// Row groups whose bias gradients are kept apart. Depends on the shape alone.
int64_t BiasGeluPartials(int64_t rows, int64_t width);

// Enqueue on `stream` (a cudaStream_t) and return at once: null, or the text of a CUDA error.
// Reference: 0.5 x (1 + erf(x / sqrt 2)) and its derivative in fp64; within 1e-6 of it for fp32.
const char* LaunchBiasGelu(const BiasGeluForward& args, void* stream);
const char* LaunchBiasGeluBackward(const BiasGeluBackward& args, void* stream);

// The same on host memory, thread by thread: for tests where there is no GPU.
void BiasGeluOnHost(const BiasGeluForward& args);
void BiasGeluBackwardOnHost(const BiasGeluBackward& args);

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_KERNELS_BIAS_GELU_H_
