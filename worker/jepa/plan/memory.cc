// Tensor by tensor; see memory.h. Sizes are numbers (floats) per image until the end.
#include "worker/jepa/plan/memory.h"

#include <algorithm>

namespace jepa {
namespace {

// Resident memory of a CPU rank with LibTorch and its code before there is a network, and what a
// CUDA context takes.
constexpr double kCpuRuntimeBytes = 360e6;
constexpr double kCudaRuntimeBytes = 600e6;

// A stack of blocks as the backward pass sees it.
struct Stack {
  double tokens = 0;  // Of all sequences of an image.
  double depth = 0;
  double width = 0;
  double hidden = 0;
};

// What one block keeps for its backward pass: input, two norms, q, k, v, attention and the sum
// after it (8 widths), and the MLP before and after GELU.
double BlockKeeps(const Stack& stack) {
  return stack.tokens * (8 * stack.width + 2 * stack.hidden);
}

// Gradients alive at once within one block: those of the MLP around GELU, of the stream, of a sum.
double BlockBackward(const Stack& stack) {
  return stack.tokens * (2 * stack.width + 2 * stack.hidden);
}

// All blocks, at the moment when most is held: the backward pass has just reached the last one.
double StackKeeps(const Stack& stack, bool checkpointing) {
  if (!checkpointing) return stack.depth * BlockKeeps(stack);
  return stack.depth * stack.tokens * stack.width;
}

// Without gradients: input, norm, q, k, v and attention of a block, or input, norm and MLP.
double BlockForward(const Stack& stack) {
  return stack.tokens * std::max(6 * stack.width, 2 * stack.width + stack.hidden);
}

}  // namespace

MemoryEstimate EstimateMemory(const ModelConfig& model, const MaskConfig& mask, ExpectedMasks kept,
                              const MemoryOptions& options) {
  const double encoder_parameters = static_cast<double>(EncoderParameters(model));
  const double both = encoder_parameters + static_cast<double>(PredictorParameters(model));
  const double contexts = mask.num_enc_masks;
  const double pairs = contexts * mask.num_pred_masks;
  const double grid = static_cast<double>(model.grid_height) * model.grid_width;
  const double pixels = static_cast<double>(model.channels) * model.patch_size * model.patch_size;
  const Stack context{contexts * kept.context_patches, static_cast<double>(model.depth),
                      static_cast<double>(model.embed_dim), static_cast<double>(model.mlp_hidden)};
  const Stack predictor{
      pairs * (kept.context_patches + kept.target_patches), static_cast<double>(model.pred_depth),
      static_cast<double>(model.pred_embed_dim), static_cast<double>(model.pred_mlp_hidden)};
  const Stack target{grid, static_cast<double>(model.depth), static_cast<double>(model.embed_dim),
                     static_cast<double>(model.mlp_hidden)};
  const bool again = options.activation_checkpointing;

  // Patches of whole images and of the context; the targets that the loss waits for.
  const double input = (grid + context.tokens) * pixels;
  const double outputs = pairs * kept.target_patches * model.embed_dim;
  const double both_stacks = StackKeeps(context, again) + StackKeeps(predictor, again);
  // Predictions and their gradient; the block in work, which checkpointing makes anew.
  const double predictor_work =
      2 * outputs + BlockBackward(predictor) + (again ? BlockKeeps(predictor) : 0);
  const double context_work =
      BlockBackward(context) + (again ? BlockKeeps(context) : 0) - (StackKeeps(predictor, again));
  const double numbers = std::max(BlockForward(target),
                                  outputs + both_stacks + std::max(predictor_work, context_work));
  const double bytes_per_number = options.precision == Precision::kBf16 ? 2 : 4;
  const double runtime = options.device == Device::kCuda ? kCudaRuntimeBytes : kCpuRuntimeBytes;
  MemoryEstimate estimate;
  estimate.runtime_bytes = static_cast<int64_t>(runtime);
  const double moments = 2 * both / options.moment_ranks;
  estimate.state_bytes = static_cast<int64_t>(4 * (2 * both + moments + encoder_parameters));
  estimate.activation_bytes =
      static_cast<int64_t>(options.batch_size * (numbers * bytes_per_number + input * 4));
  return estimate;
}

}  // namespace jepa
