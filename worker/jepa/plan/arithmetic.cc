// Counts of parameters and FLOP are exact for the networks of ijepa-spec 1.
#include "worker/jepa/plan/arithmetic.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/check.h"
#include "common/status_macros.h"
#include "worker/jepa/plan/fixed_masks.h"
#include "worker/jepa/plan/masks.h"

namespace jepa {
namespace {

struct NamedEncoder {
  absl::string_view name;
  EncoderShape shape;
};

// ijepa-spec 1.1. vit_giant's MLP is 48/11 of its width.
constexpr std::array<NamedEncoder, 6> kEncoders = {{{"vit_tiny", {192, 12, 3, 768}},
                                                    {"vit_small", {384, 12, 6, 1536}},
                                                    {"vit_base", {768, 12, 12, 3072}},
                                                    {"vit_large", {1024, 24, 16, 4096}},
                                                    {"vit_huge", {1280, 32, 16, 5120}},
                                                    {"vit_giant", {1408, 40, 16, 6144}}}};

int64_t LinearParameters(int64_t in, int64_t out) { return in * out + out; }

// Two norms, fused qkv, projection, two layers of MLP.
int64_t BlockParameters(int64_t width, int64_t hidden) {
  return 4 * width + LinearParameters(width, 3 * width) + LinearParameters(width, width) +
         LinearParameters(width, hidden) + LinearParameters(hidden, width);
}

double Patches(const ModelConfig& model) {
  return static_cast<double>(model.grid_height) * model.grid_width;
}

// Forward FLOP of `depth` blocks on one sequence of `tokens`.
double BlocksFlop(int depth, double width, double hidden, double tokens) {
  const double linear = (8 * width * width + 4 * width * hidden) * tokens;
  const double attention = 4 * tokens * tokens * width;
  return depth * (linear + attention);
}

// What `share` of the values lie at or below.
double Percentile(const std::vector<double>& sorted, double share) {
  return sorted[static_cast<size_t>(share * static_cast<double>(sorted.size() - 1))];
}

// Writes the member `patches` of every part of the forecast.
void Summarise(std::vector<double> values, double ExpectedMasks::*patches, MaskForecast* forecast) {
  std::sort(values.begin(), values.end());
  forecast->mean.*patches =
      std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
  forecast->p5.*patches = Percentile(values, 0.05);
  forecast->p95.*patches = Percentile(values, 0.95);
  forecast->largest.*patches = values.back();
}

}  // namespace

absl::StatusOr<EncoderShape> EncoderByName(absl::string_view name) {
  for (const NamedEncoder& encoder : kEncoders) {
    if (encoder.name == name) return encoder.shape;
  }
  return absl::InvalidArgumentError(absl::StrCat("meta.model_name is ", name, "; must be one of ",
                                                 absl::StrJoin(EncoderNames(), ", ")));
}

std::vector<std::string> EncoderNames() {
  std::vector<std::string> names;
  for (const NamedEncoder& encoder : kEncoders) names.emplace_back(encoder.name);
  return names;
}

int64_t EncoderParameters(const ModelConfig& model) {
  const int64_t pixels = int64_t{model.channels} * model.patch_size * model.patch_size;
  return LinearParameters(pixels, model.embed_dim) +
         model.depth * BlockParameters(model.embed_dim, model.mlp_hidden) +
         2 * int64_t{model.embed_dim};
}

int64_t PredictorParameters(const ModelConfig& model) {
  const int64_t mask_token = model.pred_embed_dim;
  return mask_token + LinearParameters(model.embed_dim, model.pred_embed_dim) +
         model.pred_depth * BlockParameters(model.pred_embed_dim, model.pred_mlp_hidden) +
         2 * int64_t{model.pred_embed_dim} +
         LinearParameters(model.pred_embed_dim, model.embed_dim);
}

absl::StatusOr<MaskForecast> ForecastMasks(const MaskConfig& mask, const ModelConfig& model,
                                           int shards, int batch_size, int steps) {
  const MaskGrid grid{model.grid_height, model.grid_width};
  IJEPA_RETURN_IF_ERROR(ValidateMasks(mask, grid));
  if (shards < 1 || batch_size < 1 || steps < 1) {
    return absl::InvalidArgumentError(absl::StrCat("masks of ", steps, " steps of ", shards,
                                                   " shards of ", batch_size,
                                                   " images asked for; each must be at least 1"));
  }
  const auto sampler = NewMaskSampler(mask, grid, /*seed=*/0, /*shard=*/0);
  std::vector<FixedMaskSampler> balanced;
  std::vector<int> all;
  for (int shard = 0; mask.balance && shard < shards; ++shard) {
    balanced.emplace_back(mask, grid, /*seed=*/0, shard);
    all.push_back(shard);
  }
  std::vector<double> contexts;
  std::vector<double> targets;
  const auto add = [&](const MaskBatch& masks) {
    contexts.push_back(masks.context_patches);
    targets.push_back(masks.target_patches);
  };
  for (int step = 0; step < steps; ++step) {
    if (balanced.empty()) {
      IJEPA_ASSIGN_OR_RETURN(const MaskBatch masks, sampler->Sample(step, batch_size));
      add(masks);
      continue;
    }
    IJEPA_ASSIGN_OR_RETURN(const std::vector<MaskBatch> dealt,
                           SampleBalanced(balanced, all, step, batch_size));
    std::for_each(dealt.begin(), dealt.end(), add);
  }
  MaskForecast forecast;
  Summarise(std::move(contexts), &ExpectedMasks::context_patches, &forecast);
  Summarise(std::move(targets), &ExpectedMasks::target_patches, &forecast);
  return forecast;
}

StepFlop FlopPerImage(const ModelConfig& model, const MaskConfig& mask, ExpectedMasks kept) {
  const double width = model.embed_dim;
  const double pred_width = model.pred_embed_dim;
  const double contexts = mask.num_enc_masks;
  const double targets = mask.num_pred_masks;
  const double patch =
      2.0 * model.channels * model.patch_size * model.patch_size * width * Patches(model);
  const double context_tokens = kept.context_patches;
  const double target_tokens = kept.target_patches;
  StepFlop flop;
  flop.target = BlocksFlop(model.depth, width, model.mlp_hidden, Patches(model)) + patch;
  // Backward costs twice the forward; pixels have no gradient.
  flop.context =
      3 * contexts * BlocksFlop(model.depth, width, model.mlp_hidden, context_tokens) + 2 * patch;
  const double blocks = BlocksFlop(model.pred_depth, pred_width, model.pred_mlp_hidden,
                                   context_tokens + target_tokens);
  const double in = 2 * width * pred_width * context_tokens;
  const double out = 2 * width * pred_width * target_tokens;
  flop.predictor = 3 * contexts * (targets * blocks + in + targets * out);
  return flop;
}

std::vector<float> PositionTable(int grid_height, int grid_width, int width) {
  IJEPA_CHECK(width > 0 && width % 4 == 0 && grid_height > 0 && grid_width > 0);
  const int quarter = width / 4;
  std::vector<double> frequency(static_cast<size_t>(quarter));
  for (int k = 0; k < quarter; ++k) {
    frequency[static_cast<size_t>(k)] =
        1.0 / std::pow(10000.0, static_cast<double>(k) / static_cast<double>(quarter));
  }
  std::vector<float> table;
  table.reserve(static_cast<size_t>(grid_height) * grid_width * width);
  const auto append = [&](int position) {
    for (const double w : frequency) table.push_back(static_cast<float>(std::sin(position * w)));
    for (const double w : frequency) table.push_back(static_cast<float>(std::cos(position * w)));
  };
  for (int row = 0; row < grid_height; ++row) {
    for (int column = 0; column < grid_width; ++column) {
      append(column);
      append(row);
    }
  }
  return table;
}

}  // namespace jepa
