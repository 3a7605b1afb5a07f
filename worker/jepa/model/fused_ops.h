// The places of a transformer block where one kernel may do the work of several operators: residual
// addition with LayerNorm, and the choice of rows. GELU's place is LinearGelu in linear.h. Each
// function picks the code that suits device and type; the networks call these and no operator that
// they replace. Legend in vision_transformer.h.
#ifndef IJEPA_WORKER_JEPA_MODEL_FUSED_OPS_H_
#define IJEPA_WORKER_JEPA_MODEL_FUSED_OPS_H_

#include <ATen/core/Tensor.h>

namespace jepa {

// Of every LayerNorm with parameters. ijepa-spec 1.1.
inline constexpr double kNormEps = 1e-6;

struct NormWeights {
  at::Tensor weight;  // fp32 [D]
  at::Tensor bias;    // fp32 [D]
};

// Residual stream between two blocks, as a sum that is not yet made: its value is residual +
// branch, or residual where branch is undefined. So the next LayerNorm can do the addition.
struct Stream {
  at::Tensor residual;  // [R, D]
  at::Tensor branch;    // [R, D], or undefined.
};

// A stream's value and the LayerNorm of it.
struct NormedRows {
  at::Tensor sum;     // [R, D]; the tensor `residual` itself where there was no branch.
  at::Tensor normed;  // [R, D]
};

// Differentiable in residual, branch and both weights.
NormedRows AddNorm(const NormWeights& norm, const Stream& stream);

// LayerNorm (eps kNormEps) of x_RD. Differentiable.
at::Tensor LayerNorm(const NormWeights& norm, const at::Tensor& x_RD);

// Rows of x_RD: [K, D]. Differentiable; a row may be taken more than once.
at::Tensor TakeRows(const at::Tensor& x_RD, const at::Tensor& rows);

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_MODEL_FUSED_OPS_H_
