// The seam, and the choice between LibTorch's operators and our kernels; see fused_ops.h.
#include "worker/jepa/model/fused_ops.h"

#include <ATen/ATen.h>

#include "worker/jepa/kernels/add_norm.h"

namespace jepa {

bool CanFuseNorm(const at::Tensor& x_RD) {
  const int64_t width = x_RD.size(-1);
  return x_RD.dim() == 2 && width % kColumns == 0 && width <= kMaxNormWidth &&
         (x_RD.scalar_type() == at::kFloat || x_RD.scalar_type() == at::kBFloat16);
}

at::Tensor LayerNorm(const NormWeights& norm, const at::Tensor& x_RD) {
  if (norm.fused && CanFuseNorm(x_RD)) return FusedAddNorm(norm, {x_RD, {}}).normed;
  return at::layer_norm(x_RD, {x_RD.size(-1)}, norm.weight, norm.bias, kNormEps);
}

at::Tensor ValueOf(const Stream& stream) {
  return stream.branch.defined() ? stream.residual + stream.branch : stream.residual;
}

NormedRows AddNorm(const NormWeights& norm, const Stream& stream) {
  if (norm.fused && CanFuseNorm(stream.residual)) return FusedAddNorm(norm, stream);
  const at::Tensor sum = ValueOf(stream);
  return {sum, LayerNorm(norm, sum)};
}

at::Tensor TakeRows(const at::Tensor& x_RD, const RowChoice& choice) {
  const int64_t row_bytes = x_RD.size(-1) * static_cast<int64_t>(x_RD.element_size());
  if (choice.starts.defined() && x_RD.dim() == 2 && row_bytes % 16 == 0 &&
      x_RD.size(1) % kColumns == 0) {
    return FusedTakeRows(x_RD, choice);
  }
  return x_RD.index_select(0, choice.rows);
}

}  // namespace jepa
