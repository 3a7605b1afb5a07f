// The encoder; see vision_transformer.h.
#include "worker/jepa/model/vision_transformer.h"

#include <ATen/ATen.h>

#include "worker/jepa/model/recompute.h"

namespace jepa {

LinearWeights BindLinear(const ParameterLookup& lookup, const std::string& name) {
  const BoundParameter weight = lookup.find(name + ".weight");
  const BoundParameter bias = lookup.find(name + ".bias");
  return {.weight = weight.value,
          .bias = bias.value,
          .weight_bf16 = weight.bf16,
          .bias_bf16 = bias.bf16,
          .weight_grad = weight.grad,
          .bias_grad = bias.grad,
          .fused_gelu = lookup.kernels.bias_gelu};
}

NormWeights BindNorm(const ParameterLookup& lookup, const std::string& name, bool bf16_out) {
  const BoundParameter weight = lookup.find(name + ".weight");
  const BoundParameter bias = lookup.find(name + ".bias");
  return {.weight = weight.value,
          .bias = bias.value,
          .weight_grad = weight.grad,
          .bias_grad = bias.grad,
          .fused = lookup.kernels.add_norm,
          .bf16_out = bf16_out && weight.bf16.defined(),
          .bf16_sum = lookup.kernels.bf16_residual};
}

BlockWeights BindBlock(const ParameterLookup& lookup, const std::string& name) {
  return {.norm1 = BindNorm(lookup, name + ".norm1", /*bf16_out=*/true),
          .qkv = BindLinear(lookup, name + ".attn.qkv"),
          .proj = BindLinear(lookup, name + ".attn.proj"),
          .norm2 = BindNorm(lookup, name + ".norm2", /*bf16_out=*/true),
          .fc1 = BindLinear(lookup, name + ".mlp.fc1"),
          .fc2 = BindLinear(lookup, name + ".mlp.fc2")};
}

// A convolution whose stride is its kernel, as a linear layer of patches.
static LinearWeights AsLinear(LinearWeights convolution) {
  for (at::Tensor* tensor :
       {&convolution.weight, &convolution.weight_bf16, &convolution.weight_grad}) {
    if (tensor->defined()) *tensor = tensor->flatten(1);
  }
  return convolution;
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
                        .heads = encoder.num_heads,
                        .whole_images = !input.positions.defined()};
  at::Tensor x = Linear(AsLinear(encoder.patch_embed), input.patches);
  if (input.positions.defined()) {
    x = x + TakeRows(encoder.pos_embed, input.positions);
  } else {
    x = (x.view({shape.count, shape.tokens, -1}) + encoder.pos_embed).view(x.sizes());
  }
  Stream stream{x, {}};
  for (size_t i = 0; i < encoder.blocks.size(); ++i) {
    if (input.at_block) input.at_block(i, stream);
    const bool last = i + 1 == encoder.blocks.size();
    const auto run = [&block = encoder.blocks[i], shape,
                      rows = last ? input.rows : at::Tensor()](const Stream& in) {
      return rows.defined() ? RunBlockForRows(block, shape, in, rows) : RunBlock(block, shape, in);
    };
    if (encoder.recompute) {
      const auto part = [run](const at::Tensor& in, const at::Tensor&) {
        return ValueOf(run({in, {}}));
      };
      stream = {Recomputed(part, stream.residual), {}};
    } else {
      stream = run(stream);
    }
  }
  return AddNorm(encoder.norm, stream).normed;
}

}  // namespace jepa
