// The I-JEPA predictor: from context tokens and positions to the target's features.
// ijepa-spec 1.4, 1.5. Legend in vision_transformer.h; P is the predictor's width.
#ifndef IJEPA_WORKER_JEPA_MODEL_PREDICTOR_H_
#define IJEPA_WORKER_JEPA_MODEL_PREDICTOR_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "worker/jepa/model/vision_transformer.h"

namespace jepa {

struct PredictorWeights {
  at::Tensor mask_token;  // [1, 1, P]
  at::Tensor pos_embed;   // [N, P], constant.
  LinearWeights embed;    // D -> P
  std::vector<BlockWeights> blocks;
  NormWeights norm;
  LinearWeights proj;  // P -> D
  int num_heads = 0;
  bool recompute = false;  // Blocks run as Recomputed (recompute.h).
};

// Which tokens a step uses.
struct PredictorShape {
  int64_t images = 0;           // B
  int64_t context_blocks = 0;   // nenc
  int64_t context_patches = 0;  // K_c
  int64_t target_blocks = 0;    // npred
  int64_t target_patches = 0;   // K_p

  int64_t sequences() const { return target_blocks * context_blocks * images; }
  int64_t tokens() const { return context_patches + target_patches; }
};

// context: [nenc * B * K_c, D], rows (e * B + b) * K_c + k. context_positions: int64 [nenc * B *
// K_c], target_positions: int64 [npred * B * K_p], rows (p * B + b) * K_p + k. Returns [npred *
// nenc * B * K_p, D], rows ((p * nenc + e) * B + b) * K_p + k.
//
// Exact savings (performance.md 1): in the first block LayerNorm and QKV of a context token run
// once for its npred copies, and of a mask token once per position of the grid; in the last block
// projection and MLP run for the target tokens alone.
struct PredictorInput {
  PredictorShape shape;
  at::Tensor context;
  at::Tensor context_positions;
  RowChoice target_positions;
  BlockHook at_block;  // Or null. Of every block but the first.
};
at::Tensor PredictorForward(const PredictorWeights& predictor, const PredictorInput& input);

// What its first block gets, with positions, fp32. Context tokens: [nenc * B * K_c, P]. The
// original adds positions in place, so in bf16 the sum is rounded to bf16 again (ijepa-spec 0.9).
// Mask tokens: one for each position of the grid, [N, P], never rounded.
at::Tensor ContextTokens(const PredictorWeights& predictor, const PredictorInput& input);
at::Tensor MaskTokens(const PredictorWeights& predictor);

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_MODEL_PREDICTOR_H_
