// The predictor; see predictor.h.
#include "worker/jepa/model/predictor.h"

#include <ATen/ATen.h>

#include "worker/jepa/model/recompute.h"

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

// What the blocks of a pass share.
struct BlockRun {
  PredictorShape shape;
  Sequences sequences;
  RowChoice target_positions;
  bool last = false;  // Only the mask tokens of the output are needed.
};

// A block from its QKV on.
Stream FinishBlock(const BlockWeights& block, const BlockRun& run, const at::Tensor& x,
                   const at::Tensor& qkv) {
  const at::Tensor attended = Attend(qkv, run.sequences, run.last ? run.shape.context_patches : 0);
  return RunMlp(block, {run.last ? MaskedTail(run.shape, x) : x, Linear(block.proj, attended)});
}

// The first block. QKV of a context token is computed once for its npred copies, that of a mask
// token once per position of the grid.
Stream RunFirst(const BlockWeights& block, const BlockRun& run, const at::Tensor& context,
                const at::Tensor& mask_tokens) {
  const at::Tensor context_qkv = Linear(block.qkv, LayerNorm(block.norm1, context));
  const at::Tensor mask_qkv = Linear(block.qkv, LayerNorm(block.norm1, mask_tokens));
  return FinishBlock(block, run,
                     Join(run.shape, context, TakeRows(mask_tokens, run.target_positions)),
                     Join(run.shape, context_qkv, TakeRows(mask_qkv, run.target_positions)));
}

Stream RunLater(const BlockWeights& block, const BlockRun& run, const Stream& stream) {
  const NormedRows x = AddNorm(block.norm1, stream);
  return FinishBlock(block, run, x.sum, Linear(block.qkv, x.normed));
}

}  // namespace

at::Tensor ContextTokens(const PredictorWeights& predictor, const PredictorInput& input) {
  const at::Tensor embedded = Linear(predictor.embed, input.context);
  const at::Tensor placed = embedded + TakeRows(predictor.pos_embed, input.context_positions);
  return placed.to(embedded.scalar_type()).to(at::kFloat);
}

at::Tensor MaskTokens(const PredictorWeights& predictor) {
  return predictor.mask_token.view({-1}) + predictor.pos_embed;
}

at::Tensor PredictorForward(const PredictorWeights& predictor, const PredictorInput& input) {
  BlockRun run{.shape = input.shape,
               .sequences = {.count = input.shape.sequences(),
                             .tokens = input.shape.tokens(),
                             .heads = predictor.num_heads},
               .target_positions = input.target_positions};
  const at::Tensor context = ContextTokens(predictor, input);
  const at::Tensor mask_tokens = MaskTokens(predictor);
  Stream stream;
  for (size_t i = 0; i < predictor.blocks.size(); ++i) {
    const BlockWeights& block = predictor.blocks[i];
    if (i > 0 && input.at_block) input.at_block(i, stream);
    run.last = i + 1 == predictor.blocks.size();
    if (!predictor.recompute) {
      stream = i == 0 ? RunFirst(block, run, context, mask_tokens) : RunLater(block, run, stream);
      continue;
    }
    const auto part = [&block, run, i](const at::Tensor& first, const at::Tensor& second) {
      return ValueOf(i == 0 ? RunFirst(block, run, first, second)
                            : RunLater(block, run, {first, {}}));
    };
    stream = {i == 0 ? Recomputed(part, context, mask_tokens) : Recomputed(part, stream.residual),
              {}};
  }
  return Linear(predictor.proj, AddNorm(predictor.norm, stream).normed);
}

}  // namespace jepa
