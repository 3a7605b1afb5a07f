// Linear layers, with the matrix product that suits device, type and CPU.
#ifndef IJEPA_WORKER_JEPA_MODEL_LINEAR_H_
#define IJEPA_WORKER_JEPA_MODEL_LINEAR_H_

#include <ATen/core/Tensor.h>

namespace jepa {

struct LinearWeights {
  at::Tensor weight;  // [out, in]
  at::Tensor bias;    // [out]
};

// x * weight^T + bias, [R, in] -> [R, out]. Differentiable. fp32 on a CPU with AVX-512 goes to
// oneDNN, which is twice as fast there as the BLAS of LibTorch on processors other than Intel's;
// all else to at::linear.
at::Tensor Linear(const LinearWeights& weights, const at::Tensor& x_RD);

// GELU (exact, erf) of Linear. Differentiable.
at::Tensor LinearGelu(const LinearWeights& weights, const at::Tensor& x_RD);

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_MODEL_LINEAR_H_
