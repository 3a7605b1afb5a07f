// Tensor by tensor; see memory.h. Sizes are bytes per image until the end.
//
// In a training pass autograd keeps of a block: the sum before each LayerNorm, both normed rows, q,
// k, v, the attended rows, and the MLP before and after GELU. The first block of the predictor has
// no norm of its own on joined rows, its last block runs its MLP on the target rows alone
// (model/predictor.h). The peak is where the backward pass begins: there all of it is still held.
#include "worker/jepa/plan/memory.h"

#include <algorithm>

namespace jepa {
namespace {

// Resident memory of a CPU rank after a first step, less its tensors: 0.45 to 0.48 GB for every
// model that was measured. LibTorch with its CUDA libraries takes 0.36 before there is a network.
constexpr double kCpuProcessBytes = 450e6;
// Of a compiled product, holes that it leaves in the heap included: resident memory after 30 steps
// of ViT-Ti/16 with 64 and with 256 of them.
constexpr double kBytesPerProduct = 0.93e6;
// Blocks of the heap as large as the widest activation that lie free between others at the peak:
// two after few steps, eight after many were seen. Larger blocks are mapped by themselves and go
// back to the system (KeepFreedMemory in model/learner.cc).
constexpr double kHeapHoles = 6;
constexpr double kLargestHole = 32 << 20;
// Not measured: a context with the code of LibTorch, workspaces of cuBLAS and cuDNN; NCCL's
// channels.
constexpr double kCudaContextBytes = 600e6;
constexpr double kNcclBytes = 300e6;
constexpr double kBatchesAhead = 3;  // Of the loader's ring, the one in work included.
constexpr double kFloat = 4;

// Bytes of a number in a network: sums and statistics are fp32, products in `inner`.
struct Width {
  double model = 0;
  double hidden = 0;
  double inner = kFloat;
};

// A block up to its q, k, v: the sum, its norm, and the three.
double QkvKeeps(double rows, const Width& width) {
  return rows * width.model * (kFloat + 4 * width.inner);
}

// A block from its attended rows on: those, the sum, its norm, the MLP before and after GELU.
double MlpKeeps(double rows, const Width& width) {
  return rows * (width.model * (kFloat + 2 * width.inner) + 2 * width.hidden * width.inner);
}

// Rows of an image. `last` are those that the last block's MLP and the final norm see.
struct Rows {
  double all = 0;
  double last = 0;
};

// What a stack of blocks with its final norm keeps from its forward to its backward pass.
double StackKeeps(Rows rows, double depth, const Width& width, bool checkpointing) {
  const double final_norm = rows.last * width.model * (kFloat + width.inner);
  if (checkpointing) return depth * rows.all * width.model * kFloat + final_norm;
  return depth * QkvKeeps(rows.all, width) + (depth - 1) * MlpKeeps(rows.all, width) +
         MlpKeeps(rows.last, width) + final_norm;
}

// A block that runs again within the backward pass: what it keeps, its result and the gradient of
// that, and the first gradient inside.
double BlockAgain(Rows rows, const Width& width) {
  return QkvKeeps(rows.all, width) + MlpKeeps(rows.last, width) +
         rows.last * (width.model * kFloat + width.hidden * width.inner);
}

// A pass without gradients at its widest, in the MLP: stream, norms and sums of two halves of a
// block, and the hidden layer.
double ForwardHolds(double rows, const Width& width) {
  return rows * (4 * width.model * kFloat + (5 * width.model + width.hidden) * width.inner);
}

// Bytes of one image at the worst moment.
double ActivationsPerImage(const ModelConfig& model, const MaskConfig& mask, ExpectedMasks kept,
                           const MemoryOptions& options) {
  const double inner = options.precision == Precision::kBf16 ? 2 : kFloat;
  const Width encoder{static_cast<double>(model.embed_dim), static_cast<double>(model.mlp_hidden),
                      inner};
  const Width predictor{static_cast<double>(model.pred_embed_dim),
                        static_cast<double>(model.pred_mlp_hidden), inner};
  const bool again = options.activation_checkpointing;
  const double contexts = mask.num_enc_masks;
  const double pairs = contexts * mask.num_pred_masks;
  const double grid = static_cast<double>(model.grid_height) * model.grid_width;
  const double context = contexts * kept.context_patches;
  const Rows joined{pairs * (kept.context_patches + kept.target_patches),
                    pairs * kept.target_patches};

  const double pixels = static_cast<double>(model.channels) * model.patch_size * model.patch_size;
  const double input = kBatchesAhead * grid * pixels + (grid + context) * pixels * kFloat;
  const double encoder_keeps = StackKeeps({context, context}, model.depth, encoder, again);
  // Context tokens stand for the sum and norm of the first block's joined rows.
  const double first_block = context * predictor.model * (kFloat + (again ? 0 : inner)) -
                             (again ? joined.all * predictor.model * kFloat
                                    : joined.all * predictor.model * (kFloat + inner));
  const double predictor_keeps =
      StackKeeps(joined, model.pred_depth, predictor, again) + first_block;
  // Targets, predictions, and the gradient of those.
  const double outputs = joined.last * encoder.model * kFloat;
  const double held = input + encoder_keeps + predictor_keeps + 2 * outputs;

  const double target_pass = input + ForwardHolds(grid, encoder);
  const double loss_backward = held + outputs;
  if (!again) {
    // In the last MLP: outputs and the final norm's rows are gone, its gradients have come.
    const double mlp_backward =
        held - 2 * outputs + joined.last * (predictor.hidden - predictor.model) * inner;
    return std::max({target_pass, loss_backward, mlp_backward});
  }
  // The last block that sees all rows to its end, if there is one.
  const Rows widest{joined.all, model.pred_depth > 1 ? joined.all : joined.last};
  const double predictor_backward =
      input + encoder_keeps + predictor_keeps - joined.last * predictor.model * (kFloat + inner) -
      joined.all * predictor.model * kFloat + BlockAgain(widest, predictor);
  const double encoder_backward = input + encoder_keeps + BlockAgain({context, context}, encoder);
  return std::max({target_pass, loss_backward, predictor_backward, encoder_backward});
}

}  // namespace

MemoryEstimate EstimateMemory(const ModelConfig& model, const MaskConfig& mask, ExpectedMasks kept,
                              const MemoryOptions& options) {
  const auto encoder = static_cast<double>(EncoderParameters(model));
  const double both = encoder + static_cast<double>(PredictorParameters(model));
  const bool cuda = options.device == Device::kCuda;
  const bool bf16 = options.precision == Precision::kBf16;
  const double grid = static_cast<double>(model.grid_height) * model.grid_width;
  const double tables = grid * (2.0 * model.embed_dim + model.pred_embed_dim);
  // On CUDA bf16 copies are kept of all weights; on CPU autograd keeps those of the trained ones.
  const double copies = !bf16 ? 0 : 2 * (cuda ? both + encoder : both);
  const double largest_weight =
      kFloat * std::max(static_cast<double>(model.embed_dim) * model.mlp_hidden,
                        static_cast<double>(model.pred_embed_dim) * model.pred_mlp_hidden);
  const double per_image = ActivationsPerImage(model, mask, kept, options);
  const double pairs = static_cast<double>(mask.num_enc_masks) * mask.num_pred_masks;
  const double widest =
      options.batch_size * kFloat *
      std::max(pairs * (kept.context_patches + kept.target_patches) * model.pred_mlp_hidden,
               grid * model.mlp_hidden);
  MemoryEstimate estimate;
  const double moments = 2 * both / options.moment_ranks;
  estimate.state_bytes =
      static_cast<int64_t>(kFloat * (2 * both + moments + encoder + tables) + (cuda ? copies : 0));
  estimate.activation_bytes =
      static_cast<int64_t>(options.batch_size * per_image + largest_weight + (cuda ? 0 : copies));
  estimate.runtime_bytes =
      static_cast<int64_t>(cuda ? kCudaContextBytes + kNcclBytes
                                : kCpuProcessBytes + kCompiledProducts * kBytesPerProduct +
                                      kHeapHoles * std::min(widest, kLargestHole));
  return estimate;
}

}  // namespace jepa
