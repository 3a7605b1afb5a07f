// What a model costs: parameters, FLOP, kept patches; its memory is in memory.h. ijepa-spec 1.1;
// performance.md section 1.
#ifndef IJEPA_WORKER_JEPA_PLAN_ARITHMETIC_H_
#define IJEPA_WORKER_JEPA_PLAN_ARITHMETIC_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "worker/jepa/config.h"

namespace jepa {

// Width, depth, heads and MLP width of a named encoder.
struct EncoderShape {
  int embed_dim = 0;
  int depth = 0;
  int num_heads = 0;
  int mlp_hidden = 0;
};

// vit_tiny ... vit_giant. Returns InvalidArgument with the list of names for another one.
absl::StatusOr<EncoderShape> EncoderByName(absl::string_view name);
std::vector<std::string> EncoderNames();

// Trainable parameters (position tables are fixed and do not count).
int64_t EncoderParameters(const ModelConfig& model);
int64_t PredictorParameters(const ModelConfig& model);

// Patches of a context and of a target block after the cut to the shard's minimum.
struct ExpectedMasks {
  double context_patches = 0;
  double target_patches = 0;
};

// The same over many steps. Block sizes and the minimum over the images change from step to step.
struct MaskForecast {
  ExpectedMasks mean;
  ExpectedMasks p5;
  ExpectedMasks p95;
  ExpectedMasks largest;  // Sets the memory that a run needs.
};

// Draws `steps` steps of one shard; with mask.balance those of all `shards`, of whose means and
// largest this is. The mean of 400 steps is within 1 % of that of a long run.
absl::StatusOr<MaskForecast> ForecastMasks(const MaskConfig& mask, const ModelConfig& model,
                                           int shards, int batch_size, int steps);

// FLOP of one training step per image, a multiply-add as 2, matrix products only.
struct StepFlop {
  double target = 0;
  double context = 0;
  double predictor = 0;
  double total() const { return target + context + predictor; }
};
StepFlop FlopPerImage(const ModelConfig& model, const MaskConfig& mask, ExpectedMasks kept);

// Fixed 2-D sin-cos table [grid_height * grid_width, width] in row-major order, fp64 rounded to
// fp32: the first half encodes the column, the second the row. width is a multiple of 4.
// ijepa-spec 1.2; golden set a_pos_embed.
std::vector<float> PositionTable(int grid_height, int grid_width, int width);

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_PLAN_ARITHMETIC_H_
