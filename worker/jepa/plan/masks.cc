// Which mask configurations work, and the sampler of each.
#include "worker/jepa/plan/masks.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/jepa/plan/fixed_masks.h"
#include "worker/jepa/plan/mask_blocks.h"
#include "worker/jepa/plan/reference_masks.h"

namespace jepa {
namespace {

// Bounds the work of validation; 256 patches per side are 65,536 tokens.
constexpr int kMaxSide = 256;
constexpr int kReferenceBelow = 12;

absl::Status CheckAtLeast(absl::string_view field, int value, int low) {
  if (value >= low) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("mask.", field, " is ", value, "; must be at least ", low));
}

absl::Status CheckRange(absl::string_view field, Range range, double high) {
  // Written so that a NaN fails.
  if (range.low > 0 && range.low <= range.high && range.high <= high) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("mask.", field, " is [", range.low, ", ",
                                                 range.high,
                                                 "]; must be 0 < low <= high <= ", high));
}

absl::Status CheckFields(const MaskConfig& config, MaskGrid grid) {
  IJEPA_RETURN_IF_ERROR(CheckAtLeast("patch_size", config.patch_size, 1));
  const int side = std::min(grid.height, grid.width);
  if (side < 2 || std::max(grid.height, grid.width) > kMaxSide) {
    return absl::InvalidArgumentError(absl::StrCat(
        "mask.patch_size is ", config.patch_size, ", which gives ", grid.height, " x ", grid.width,
        " patches; a side must be in [2, ", kMaxSide, "]: use a ", side < 2 ? "smaller" : "larger",
        " patch or ", side < 2 ? "larger" : "smaller", " crop"));
  }
  IJEPA_RETURN_IF_ERROR(CheckAtLeast("num_enc_masks", config.num_enc_masks, 1));
  IJEPA_RETURN_IF_ERROR(CheckAtLeast("num_pred_masks", config.num_pred_masks, 1));
  IJEPA_RETURN_IF_ERROR(CheckAtLeast("min_keep", config.min_keep, 0));
  IJEPA_RETURN_IF_ERROR(CheckRange("enc_mask_scale", config.enc_mask_scale, 1));
  IJEPA_RETURN_IF_ERROR(CheckRange("pred_mask_scale", config.pred_mask_scale, 1));
  return CheckRange("aspect_ratio", config.aspect_ratio, 1000);
}

// `patches`: the fewest that `what` can have. `scale` is the field that sizes it.
absl::Status TooFew(const MaskConfig& config, MaskGrid grid, absl::string_view what,
                    absl::string_view scale, int patches) {
  const std::string where = absl::StrCat(what, " can have only ", patches, " patches on a grid of ",
                                         grid.height, " x ", grid.width);
  if (patches < 1) {
    return absl::InvalidArgumentError(absl::StrCat(
        "mask.", scale, ": ", where, "; raise its lower end or use a smaller mask.patch_size"));
  }
  return absl::InvalidArgumentError(absl::StrCat("mask.min_keep is ", config.min_keep, ", but ",
                                                 where, "; must be at most ", patches - 1,
                                                 ", or use a smaller mask.patch_size"));
}

}  // namespace

absl::Status ValidateMasks(const MaskConfig& config, MaskGrid grid) {
  IJEPA_RETURN_IF_ERROR(CheckFields(config, grid));
  const AreaBounds bounds = BoundsOf(config, grid);
  if (bounds.target_min <= config.min_keep) {
    return TooFew(config, grid, "a target block", "pred_mask_scale", bounds.target_min);
  }
  if (bounds.context_min <= config.min_keep) {
    return TooFew(config, grid, "a context block", "enc_mask_scale", bounds.context_min);
  }
  // The published sampler overlaps context and targets then; `fixed` never does.
  const int left = bounds.context_min - bounds.target_max;
  if (config.mode == MaskMode::kReference || config.allow_overlap || left > config.min_keep) {
    return absl::OkStatus();
  }
  if (left > 0) {
    return TooFew(config, grid, "a context block minus a target block", "enc_mask_scale", left);
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "mask.pred_mask_scale is [", config.pred_mask_scale.low, ", ", config.pred_mask_scale.high,
      "]: a target block can have ", bounds.target_max, " patches, a context block only ",
      bounds.context_min, "; lower it below mask.enc_mask_scale ", config.enc_mask_scale.low));
}

MaskMode DefaultMaskMode(MaskGrid grid) {
  return std::min(grid.height, grid.width) < kReferenceBelow ? MaskMode::kFixed
                                                             : MaskMode::kReference;
}

std::unique_ptr<MaskSampler> NewMaskSampler(const MaskConfig& config, MaskGrid grid, uint64_t seed,
                                            int shard, int64_t first_step) {
  if (config.mode == MaskMode::kFixed) {
    return std::make_unique<FixedMaskSampler>(config, grid, seed, shard);
  }
  return std::make_unique<ReferenceMaskSampler>(config, grid, PositionSeed(seed, shard),
                                                first_step);
}

}  // namespace jepa
