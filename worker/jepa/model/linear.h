// Linear layers, with the matrix product that suits device, type and CPU.
#ifndef IJEPA_WORKER_JEPA_MODEL_LINEAR_H_
#define IJEPA_WORKER_JEPA_MODEL_LINEAR_H_

#include <ATen/core/Tensor.h>

namespace jepa {

struct LinearWeights {
  at::Tensor weight;  // [out, in]
  at::Tensor bias;    // [out]
};

// x * weight^T + bias, [R, in] -> [R, out]. Differentiable. fp32 on a CPU with AVX2 goes to oneDNN,
// which on processors other than Intel's is faster than the BLAS of LibTorch: twice with AVX-512, a
// seventh with AVX2 alone. All else goes to at::linear.
at::Tensor Linear(const LinearWeights& weights, const at::Tensor& x_RD);

// GELU (exact, erf) of Linear. Differentiable.
at::Tensor LinearGelu(const LinearWeights& weights, const at::Tensor& x_RD);

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_MODEL_LINEAR_H_
