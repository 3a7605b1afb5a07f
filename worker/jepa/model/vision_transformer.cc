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

Stream RunMlp(const BlockWeights& block, const Stream& stream) {
  const NormedRows x = AddNorm(block.norm2, stream);
  return {x.sum, Linear(block.fc2, LinearGelu(block.fc1, x.normed))};
}

Stream RunBlock(const BlockWeights& block, const Sequences& shape, const Stream& stream) {
  const NormedRows x = AddNorm(block.norm1, stream);
  const at::Tensor attended = Attend(Linear(block.qkv, x.normed), shape);
  return RunMlp(block, {x.sum, Linear(block.proj, attended)});
}

Stream RunBlockForRows(const BlockWeights& block, const Sequences& shape, const Stream& stream,
                       const at::Tensor& rows) {
  const NormedRows x = AddNorm(block.norm1, stream);
  const at::Tensor attended = Attend(Linear(block.qkv, x.normed), shape);
  return RunMlp(block, {TakeRows(x.sum, rows), Linear(block.proj, TakeRows(attended, rows))});
}

at::Tensor EncoderForward(const EncoderWeights& encoder, const EncoderInput& input) {
  const Sequences shape{.count = input.sequences,
                        .tokens = input.patches.size(0) / input.sequences,
                        .heads = encoder.num_heads};
  const LinearWeights patch_embed{encoder.patch_embed.weight.flatten(1), encoder.patch_embed.bias};
  at::Tensor x = Linear(patch_embed, input.patches);
  if (input.positions.defined()) {
    x = x + TakeRows(encoder.pos_embed, input.positions);
  } else {
    x = (x.view({shape.count, shape.tokens, -1}) + encoder.pos_embed).view(x.sizes());
  }
  Stream stream{x, {}};
  for (size_t i = 0; i < encoder.blocks.size(); ++i) {
    const bool last = i + 1 == encoder.blocks.size();
    stream = last && input.rows.defined()
                 ? RunBlockForRows(encoder.blocks[i], shape, stream, input.rows)
                 : RunBlock(encoder.blocks[i], shape, stream);
  }
  return AddNorm(encoder.norm, stream).normed;
}

}  // namespace jepa
