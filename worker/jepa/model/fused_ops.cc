// Fused operators; see fused_ops.h.
#include "worker/jepa/model/fused_ops.h"

#include <ATen/ATen.h>

namespace jepa {

at::Tensor LayerNorm(const NormWeights& norm, const at::Tensor& x_RD) {
  return at::layer_norm(x_RD, {x_RD.size(-1)}, norm.weight, norm.bias, kNormEps);
}

NormedRows AddNorm(const NormWeights& norm, const Stream& stream) {
  const at::Tensor sum =
      stream.branch.defined() ? stream.residual + stream.branch : stream.residual;
  return {sum, LayerNorm(norm, sum)};
}

at::Tensor TakeRows(const at::Tensor& x_RD, const at::Tensor& rows) {
  return x_RD.index_select(0, rows);
}

}  // namespace jepa
