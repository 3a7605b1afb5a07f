// Linear layers, with the matrix product that suits device, type and CPU.
#ifndef IJEPA_WORKER_JEPA_MODEL_LINEAR_H_
#define IJEPA_WORKER_JEPA_MODEL_LINEAR_H_

#include <ATen/core/Tensor.h>

namespace jepa {

struct LinearWeights {
  at::Tensor weight;  // fp32 [out, in]
  at::Tensor bias;    // fp32 [out]
  // Copies of both; where defined, the product is made from them in bf16 and the result is bf16.
  at::Tensor weight_bf16;
  at::Tensor bias_bf16;
  // Where the backward pass adds the gradients itself (fp32), instead of handing them to autograd.
  at::Tensor weight_grad;
  at::Tensor bias_grad;
  bool fused_gelu = false;  // LinearGelu adds the bias within GELU's kernel.
};

// x * weight^T + bias, [R, in] -> [R, out]. Differentiable. x may have more columns than the
// weight: they must be zeros. With bf16 copies or gradient buffers goes to DirectLinear; fp32 on a
// CPU with AVX2 to oneDNN, which on processors other than Intel's is faster than the BLAS of
// LibTorch: twice with AVX-512, a seventh with AVX2 alone. All else goes to at::linear, and so to
// autocast where that is on.
at::Tensor Linear(const LinearWeights& weights, const at::Tensor& x_RD);

// GELU (exact, erf) of Linear. Differentiable.
at::Tensor LinearGelu(const LinearWeights& weights, const at::Tensor& x_RD);

// Linear with explicit types and a backward pass of its own: x and the gradient of the result in
// the type of the product, the gradient of the weight summed in fp32 straight into weight_grad by
// the matrix product itself. `with_bias`: else the product alone, and no gradient of the bias.
at::Tensor DirectLinear(const LinearWeights& weights, const at::Tensor& x_RD,
                        bool with_bias = true);

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_MODEL_LINEAR_H_
