// The encoder; see vision_transformer.h.
#include "worker/jepa/model/vision_transformer.h"

#include <ATen/ATen.h>

namespace jepa {

LinearWeights BindLinear(const ParameterLookup& lookup, const std::string& name) {
  return {lookup(name + ".weight"), lookup(name + ".bias")};
}

NormWeights BindNorm(const ParameterLookup& lookup, const std::string& name) {
  return {lookup(name + ".weight"), lookup(name + ".bias")};
}

BlockWeights BindBlock(const ParameterLookup& lookup, const std::string& name) {
  return {.norm1 = BindNorm(lookup, name + ".norm1"),
          .qkv = BindLinear(lookup, name + ".attn.qkv"),
          .proj = BindLinear(lookup, name + ".attn.proj"),
          .norm2 = BindNorm(lookup, name + ".norm2"),
          .fc1 = BindLinear(lookup, name + ".mlp.fc1"),
          .fc2 = BindLinear(lookup, name + ".mlp.fc2")};
}

at::Tensor LayerNorm(const NormWeights& weights, const at::Tensor& x_RD) {
  return at::layer_norm(x_RD, {x_RD.size(-1)}, weights.weight, weights.bias, kNormEps);
}

at::Tensor MlpResidual(const BlockWeights& block, const at::Tensor& x_RD) {
  const at::Tensor hidden = LinearGelu(block.fc1, LayerNorm(block.norm2, x_RD));
  return x_RD + Linear(block.fc2, hidden);
}

at::Tensor RunBlock(const BlockWeights& block, const Sequences& shape, const at::Tensor& x_RD) {
  const at::Tensor attended = Attend(Linear(block.qkv, LayerNorm(block.norm1, x_RD)), shape);
  return MlpResidual(block, x_RD + Linear(block.proj, attended));
}

at::Tensor RunBlockForRows(const BlockWeights& block, const Sequences& shape,
                           const at::Tensor& x_RD, const at::Tensor& rows) {
  const at::Tensor attended = Attend(Linear(block.qkv, LayerNorm(block.norm1, x_RD)), shape);
  const at::Tensor kept = x_RD.index_select(0, rows);
  return MlpResidual(block, kept + Linear(block.proj, attended.index_select(0, rows)));
}

at::Tensor EncoderForward(const EncoderWeights& encoder, const EncoderInput& input) {
  const Sequences shape{.count = input.sequences,
                        .tokens = input.patches.size(0) / input.sequences,
                        .heads = encoder.num_heads};
  const LinearWeights patch_embed{encoder.patch_embed.weight.flatten(1), encoder.patch_embed.bias};
  at::Tensor x = Linear(patch_embed, input.patches);
  if (input.positions.defined()) {
    x = x + encoder.pos_embed.index_select(0, input.positions);
  } else {
    x = (x.view({shape.count, shape.tokens, -1}) + encoder.pos_embed).view(x.sizes());
  }
  for (size_t i = 0; i < encoder.blocks.size(); ++i) {
    const bool last = i + 1 == encoder.blocks.size();
    x = last && input.rows.defined() ? RunBlockForRows(encoder.blocks[i], shape, x, input.rows)
                                     : RunBlock(encoder.blocks[i], shape, x);
  }
  return LayerNorm(encoder.norm, x);
}

}  // namespace jepa
