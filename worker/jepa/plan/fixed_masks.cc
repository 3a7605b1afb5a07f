// Termination: ValidateMasks has made sure that a context minus one target is large enough, and the
// last stage of tries puts all targets of an image on one place.
#include "worker/jepa/plan/fixed_masks.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"

namespace jepa {
namespace {

// Tries with a given freedom of the targets. On 8 x 8 with published ranges about 1 % of the images
// need a second try.
constexpr int kTriesPerStage = 20;
// Stream of the sizes of a step; no image has this number.
constexpr uint64_t kSizesStream = ~uint64_t{0};

// `count` of `cells`, every subset equally likely, in order (Knuth, TAOCP 2, 3.4.2, algorithm S).
void AppendSubset(const std::vector<int64_t>& cells, size_t count, Philox& random,
                  std::vector<int64_t>& out) {
  size_t needed = count;
  for (size_t i = 0; i < cells.size() && needed > 0; ++i) {
    const auto remaining = static_cast<uint32_t>(cells.size() - i);
    if (remaining > needed && random.Below(remaining) >= needed) continue;
    out.push_back(cells[i]);
    --needed;
  }
}

}  // namespace

FixedMaskSampler::FixedMaskSampler(const MaskConfig& config, MaskGrid grid, uint64_t seed,
                                   int shard)
    : config_(config), grid_(grid), seed_(seed), shard_(static_cast<uint32_t>(shard)) {}

StepSizes FixedMaskSampler::SizesAt(int64_t step) const {
  Philox random(seed_, Purpose::kMask, static_cast<uint64_t>(step), kSizesStream);
  const double target_scale =
      random.Uniform(config_.pred_mask_scale.low, config_.pred_mask_scale.high);
  const double aspect = std::exp(
      random.Uniform(std::log(config_.aspect_ratio.low), std::log(config_.aspect_ratio.high)));
  const double context_scale =
      random.Uniform(config_.enc_mask_scale.low, config_.enc_mask_scale.high);
  // exp(log(x)) may lie an ulp outside.
  const double clamped = std::clamp(aspect, config_.aspect_ratio.low, config_.aspect_ratio.high);
  const double context_aspect = static_cast<double>(grid_.height) / grid_.width;
  return {SizeOf(grid_, target_scale, clamped, grid_),
          SizeOf(grid_, context_scale, context_aspect, grid_)};
}

Block FixedMaskSampler::Place(BlockSize size, Philox& random) const {
  const uint32_t top = random.Below(static_cast<uint32_t>(grid_.height - size.height + 1));
  const uint32_t left = random.Below(static_cast<uint32_t>(grid_.width - size.width + 1));
  return {size, static_cast<int>(top), static_cast<int>(left)};
}

FixedMaskSampler::ImageMasks FixedMaskSampler::TryImage(const StepSizes& sizes, int tied,
                                                        Philox& random) const {
  ImageMasks masks;
  std::vector<CellMap> complements;
  Block first;
  for (int i = 0; i < config_.num_pred_masks; ++i) {
    const bool free = i < config_.num_pred_masks - tied;
    const Block block = free ? Place(sizes.target, random) : first;
    if (i == 0) first = block;
    masks.targets.push_back(CellsOf(block, grid_, {}, 0));
    complements.push_back(Outside(block, grid_));
  }
  const size_t used = config_.allow_overlap ? 0 : complements.size();
  for (int i = 0; i < config_.num_enc_masks; ++i) {
    masks.contexts.push_back(CellsOf(Place(sizes.context, random), grid_, complements, used));
  }
  return masks;
}

FixedMaskSampler::ImageMasks FixedMaskSampler::SampleImage(const StepSizes& sizes,
                                                           Philox& random) const {
  ImageMasks masks;
  for (int tied = 0; tied < config_.num_pred_masks; ++tied) {
    for (int i = 0; i < kTriesPerStage; ++i) {
      masks = TryImage(sizes, tied, random);
      const bool enough = std::all_of(
          masks.contexts.begin(), masks.contexts.end(),
          [&](const auto& cells) { return cells.size() > static_cast<size_t>(config_.min_keep); });
      if (enough) return masks;
    }
  }
  return masks;
}

std::vector<FixedMaskSampler::Drawn> FixedMaskSampler::Draw(int64_t step, int batch) const {
  const StepSizes sizes = SizesAt(step);
  std::vector<Drawn> images;
  for (int image = 0; image < batch; ++image) {
    Philox random(seed_, Purpose::kMask, static_cast<uint64_t>(step),
                  (shard_ << 32) | static_cast<uint32_t>(image));
    ImageMasks masks = SampleImage(sizes, random);
    size_t kept = static_cast<size_t>(sizes.context.area());
    for (const auto& cells : masks.contexts) kept = std::min(kept, cells.size());
    images.push_back({std::move(masks), random, kept});
  }
  return images;
}

absl::StatusOr<MaskBatch> FixedMaskSampler::Cut(int64_t step, std::vector<Drawn> images) const {
  const StepSizes sizes = SizesAt(step);
  size_t kept = static_cast<size_t>(sizes.context.area());
  for (const Drawn& image : images) kept = std::min(kept, image.kept);
  if (kept <= static_cast<size_t>(config_.min_keep)) {
    return absl::InvalidArgumentError(absl::StrCat("mask.min_keep is ", config_.min_keep, "; step ",
                                                   step, " leaves a context of ", kept,
                                                   " patches; lower it"));
  }
  MaskBatch batch;
  batch.context_patches = static_cast<int>(kept);
  batch.target_patches = sizes.target.area();
  batch.context.resize(config_.num_enc_masks);
  batch.target.resize(config_.num_pred_masks);
  for (Drawn& image : images) {
    for (size_t i = 0; i < batch.context.size(); ++i) {
      AppendSubset(image.masks.contexts[i], kept, image.random, batch.context[i]);
    }
    for (size_t i = 0; i < batch.target.size(); ++i) {
      const auto& cells = image.masks.targets[i];
      batch.target[i].insert(batch.target[i].end(), cells.begin(), cells.end());
    }
  }
  return batch;
}

absl::StatusOr<MaskBatch> FixedMaskSampler::Sample(int64_t step, int batch) {
  return Cut(step, Draw(step, batch));
}

absl::StatusOr<std::vector<MaskBatch>> SampleBalanced(const std::vector<FixedMaskSampler>& shards,
                                                      const std::vector<int>& wanted, int64_t step,
                                                      int batch) {
  std::vector<FixedMaskSampler::Drawn> all;
  for (const FixedMaskSampler& shard : shards) {
    for (FixedMaskSampler::Drawn& image : shard.Draw(step, batch)) all.push_back(std::move(image));
  }
  std::stable_sort(all.begin(), all.end(),
                   [](const auto& a, const auto& b) { return a.kept < b.kept; });
  std::vector<MaskBatch> batches;
  for (const int shard : wanted) {
    std::vector<FixedMaskSampler::Drawn> dealt;
    for (size_t i = static_cast<size_t>(shard); i < all.size(); i += shards.size()) {
      dealt.push_back(std::move(all[i]));
    }
    IJEPA_ASSIGN_OR_RETURN(MaskBatch cut,
                           shards[static_cast<size_t>(shard)].Cut(step, std::move(dealt)));
    batches.push_back(std::move(cut));
  }
  return batches;
}

absl::Status FixedMaskSampler::RestoreState(absl::string_view state) {
  if (state.empty()) return absl::OkStatus();
  return absl::DataLossError("mask state is not empty; mask.mode fixed has none");
}

}  // namespace jepa
