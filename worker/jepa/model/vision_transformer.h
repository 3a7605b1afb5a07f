// The I-JEPA encoder on plain tensor views: pre-norm ViT without class token. ijepa-spec 1.1, 1.5.
//
// Shape legend: B images, N patches of the grid, K kept patches, D width, H heads, S sequences, n
// tokens per sequence, R = S * n rows. Token tensors are [R, D], fp32, contiguous, sequence-major.
#ifndef IJEPA_WORKER_JEPA_MODEL_VISION_TRANSFORMER_H_
#define IJEPA_WORKER_JEPA_MODEL_VISION_TRANSFORMER_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "worker/jepa/model/attention.h"
#include "worker/jepa/model/fused_ops.h"
#include "worker/jepa/model/linear.h"

namespace jepa {

struct BlockWeights {
  NormWeights norm1;
  LinearWeights qkv;  // Rows [q of all heads | k | v].
  LinearWeights proj;
  NormWeights norm2;
  LinearWeights fc1;
  LinearWeights fc2;
};

struct EncoderWeights {
  LinearWeights patch_embed;  // [D, channels, patch, patch]
  at::Tensor pos_embed;       // [N, D], constant.
  std::vector<BlockWeights> blocks;
  NormWeights norm;
  int num_heads = 0;
  bool recompute = false;  // Blocks run as Recomputed (recompute.h).
};

// Which of our kernels the networks take instead of LibTorch's operators. All off: plain operators,
// and autocast for bf16.
struct KernelChoice {
  bool add_norm = false;   // Residual addition with LayerNorm.
  bool direct = false;     // DirectLinear: explicit types, kept bf16 weights, own weight gradients.
  bool bias_gelu = false;  // Needs `direct`.
  bool take_rows = false;  // Choices of rows carry their inverse.
  // Sums of AddNorm in bf16. Differs from the original, whose residual stream is fp32 (ijepa-spec
  // 3).
  bool bf16_residual = false;

  static KernelChoice All() { return {true, true, true, true, false}; }
};

// A parameter as the networks see it. grad and bf16 are defined where `direct` wants them.
struct BoundParameter {
  at::Tensor value;
  at::Tensor grad;
  at::Tensor bf16;
};

// Finds a parameter by its published name.
struct ParameterLookup {
  std::function<BoundParameter(const std::string& name)> find;
  KernelChoice kernels;
};

LinearWeights BindLinear(const ParameterLookup& lookup, const std::string& name);
// `bf16_out`: normed rows go into a linear layer, so bf16 ones do where that multiplies in bf16.
NormWeights BindNorm(const ParameterLookup& lookup, const std::string& name, bool bf16_out);
BlockWeights BindBlock(const ParameterLookup& lookup, const std::string& name);

// Called in the forward pass with what goes into a block.
using BlockHook = std::function<void(size_t block, const Stream& in)>;

// The MLP of a block: fc2(gelu(fc1(norm2(x)))), exact (erf) GELU, on the stream's value.
Stream RunMlp(const BlockWeights& block, const Stream& stream);
// One whole block.
Stream RunBlock(const BlockWeights& block, const Sequences& shape, const Stream& stream);
// A block of which only `rows` of the output are needed: attention sees all rows, projection and
// MLP only those. Equals RunBlock and then a choice of rows, up to rounding (performance.md 1).
Stream RunBlockForRows(const BlockWeights& block, const Sequences& shape, const Stream& stream,
                       const at::Tensor& rows);

// Patches [R, channels * patch * patch] of S sequences and the grid position of each row, through
// all blocks and the final LayerNorm: [R, D]. With `rows` defined only those rows of the result.
struct EncoderInput {
  at::Tensor patches;
  at::Tensor positions;  // int64 [R], or undefined: every sequence is the whole grid in order.
  int64_t sequences = 0;
  at::Tensor rows;
  BlockHook at_block;  // Or null.
};
at::Tensor EncoderForward(const EncoderWeights& encoder, const EncoderInput& input);

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_MODEL_VISION_TRANSFORMER_H_
