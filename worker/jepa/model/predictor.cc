// The predictor; see predictor.h.
#include "worker/jepa/model/predictor.h"

#include <ATen/ATen.h>

namespace jepa {
namespace {

// One row per context token and one per mask token of every (target block, image) ->
// [sequences * tokens, C]: context first, then mask tokens.
at::Tensor Join(const PredictorShape& shape, const at::Tensor& context, const at::Tensor& masked) {
  const int64_t width = context.size(1);
  const at::Tensor context_tiled =
      context.view({1, shape.context_blocks, shape.images, shape.context_patches, width})
          .expand({shape.target_blocks, -1, -1, -1, -1});
  const at::Tensor masked_tiled =
      masked.view({shape.target_blocks, 1, shape.images, shape.target_patches, width})
          .expand({-1, shape.context_blocks, -1, -1, -1});
  return at::cat({context_tiled, masked_tiled}, 3).view({-1, width});
}

// The mask tokens of joined rows.
at::Tensor MaskedTail(const PredictorShape& shape, const at::Tensor& joined) {
  return joined.view({shape.sequences(), shape.tokens(), -1})
      .narrow(1, shape.context_patches, shape.target_patches)
      .reshape({shape.sequences() * shape.target_patches, joined.size(1)});
}

at::Tensor NormQkv(const BlockWeights& block, const at::Tensor& x) {
  return Linear(block.qkv, LayerNorm(block.norm1, x));
}

}  // namespace

at::Tensor PredictorForward(const PredictorWeights& predictor, const PredictorInput& input) {
  const PredictorShape& shape = input.shape;
  const Sequences sequences{
      .count = shape.sequences(), .tokens = shape.tokens(), .heads = predictor.num_heads};
  const at::Tensor context = Linear(predictor.embed, input.context) +
                             predictor.pos_embed.index_select(0, input.context_positions);
  const at::Tensor mask_tokens = predictor.mask_token.view({-1}) + predictor.pos_embed;  // [N, P]
  at::Tensor x = Join(shape, context, mask_tokens.index_select(0, input.target_positions));
  for (size_t i = 0; i < predictor.blocks.size(); ++i) {
    const BlockWeights& block = predictor.blocks[i];
    const at::Tensor qkv =
        i == 0 ? Join(shape, NormQkv(block, context),
                      NormQkv(block, mask_tokens).index_select(0, input.target_positions))
               : NormQkv(block, x);
    const bool last = i + 1 == predictor.blocks.size();
    if (last) x = MaskedTail(shape, x);
    const at::Tensor attended = Attend(qkv, sequences, last ? shape.context_patches : 0);
    x = MlpResidual(block, x + Linear(block.proj, attended));
  }
  return Linear(predictor.proj, LayerNorm(predictor.norm, x));
}

}  // namespace jepa
