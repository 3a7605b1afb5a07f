// The places of a transformer block where one kernel may do the work of several operators: residual
// addition with LayerNorm, and the choice of rows. GELU's place is LinearGelu in linear.h. The
// networks call these and no operator that they replace. Legend in vision_transformer.h.
//
// The Fused... functions are the kernels of worker/jepa/kernels behind autograd, on CUDA; on a CPU
// the kernels' twins, which tests use. docs/decisions/0004.
#ifndef IJEPA_WORKER_JEPA_MODEL_FUSED_OPS_H_
#define IJEPA_WORKER_JEPA_MODEL_FUSED_OPS_H_

#include <ATen/core/Tensor.h>

#include <utility>

namespace jepa {

// Of every LayerNorm with parameters. ijepa-spec 1.1.
inline constexpr double kNormEps = 1e-6;

struct NormWeights {
  at::Tensor weight;  // fp32 [D]
  at::Tensor bias;    // fp32 [D]
  // Where the backward pass adds their gradients itself; undefined: autograd does. Fused only.
  at::Tensor weight_grad;
  at::Tensor bias_grad;
  bool fused = false;     // Take FusedAddNorm where it can serve the shape.
  bool bf16_out = false;  // Fused: normed rows come in bf16, for a bf16 product.
  bool bf16_sum = false;  // Fused: so does the sum. Differs from the original.
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

// The stream's value.
at::Tensor ValueOf(const Stream& stream);

// Differentiable in residual, branch and both weights.
NormedRows AddNorm(const NormWeights& norm, const Stream& stream);

// LayerNorm (eps kNormEps) of x_RD. Differentiable.
at::Tensor LayerNorm(const NormWeights& norm, const at::Tensor& x_RD);

// A choice of rows and, for the backward pass of the fused kernel, its inverse (kernels/rows.h).
struct RowChoice {
  RowChoice() = default;
  RowChoice(at::Tensor rows) : rows(std::move(rows)) {}  // NOLINT: a plain list is a choice.

  at::Tensor rows;    // int64 or int32 [K]
  at::Tensor starts;  // int32 [R + 1], or undefined.
  at::Tensor order;   // int32 [K], or undefined.
};

// Rows of x_RD: [K, D]. Differentiable; a row may be taken more than once. With an inverse and
// int32 rows the fused kernel, whose gradient has a fixed order of additions; else LibTorch's.
at::Tensor TakeRows(const at::Tensor& x_RD, const RowChoice& choice);

// As AddNorm; stream.residual and stream.branch fp32 or bf16, sum and normed in the types that norm
// says.
NormedRows FusedAddNorm(const NormWeights& norm, const Stream& stream);
// Whether the kernel serves this width.
bool CanFuseNorm(const at::Tensor& x_RD);
at::Tensor FusedTakeRows(const at::Tensor& x_RD, const RowChoice& choice);

// gelu(product + bias), exact; product fp32 or bf16 [R, H], bias fp32. bias_grad as in NormWeights.
at::Tensor FusedBiasGelu(const at::Tensor& product_RH, const at::Tensor& bias,
                         const at::Tensor& bias_grad);

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_MODEL_FUSED_OPS_H_
