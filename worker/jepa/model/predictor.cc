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

// QKV of the first block. A context token's is computed once for its npred copies, a mask token's
// once per position of the grid.
at::Tensor FirstQkv(const BlockWeights& block, const PredictorInput& input,
                    const at::Tensor& context, const at::Tensor& mask_tokens) {
  const at::Tensor context_qkv = Linear(block.qkv, LayerNorm(block.norm1, context));
  const at::Tensor mask_qkv = Linear(block.qkv, LayerNorm(block.norm1, mask_tokens));
  return Join(input.shape, context_qkv, TakeRows(mask_qkv, input.target_positions));
}

}  // namespace

at::Tensor PredictorForward(const PredictorWeights& predictor, const PredictorInput& input) {
  const PredictorShape& shape = input.shape;
  const Sequences sequences{
      .count = shape.sequences(), .tokens = shape.tokens(), .heads = predictor.num_heads};
  const at::Tensor context = Linear(predictor.embed, input.context) +
                             TakeRows(predictor.pos_embed, input.context_positions);
  const at::Tensor mask_tokens = predictor.mask_token.view({-1}) + predictor.pos_embed;  // [N, P]
  Stream stream{Join(shape, context, TakeRows(mask_tokens, input.target_positions)), {}};
  for (size_t i = 0; i < predictor.blocks.size(); ++i) {
    const BlockWeights& block = predictor.blocks[i];
    at::Tensor x = stream.residual;
    at::Tensor qkv;
    if (i == 0) {
      qkv = FirstQkv(block, input, context, mask_tokens);
    } else {
      const NormedRows normed = AddNorm(block.norm1, stream);
      x = normed.sum;
      qkv = Linear(block.qkv, normed.normed);
    }
    const bool last = i + 1 == predictor.blocks.size();
    if (last) x = MaskedTail(shape, x);
    const at::Tensor attended = Attend(qkv, sequences, last ? shape.context_patches : 0);
    stream = RunMlp(block, {x, Linear(block.proj, attended)});
  }
  return Linear(predictor.proj, AddNorm(predictor.norm, stream).normed);
}

}  // namespace jepa
