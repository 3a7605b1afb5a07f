// Order of draws: for each image its targets, then its contexts; for each block row before column.
#include "worker/jepa/plan/reference_masks.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"

namespace jepa {
namespace {

constexpr absl::string_view kStateMagic = "ijepa-mask-reference-1:";
// Failed tries of a context block before one more target may be overlapped; the published value.
constexpr int kTriesPerComplement = 20;

// Appends the first `count` cells of every image: the published cut to the batch minimum.
std::vector<int64_t> CutToFirst(const std::vector<std::vector<int64_t>>& images, size_t count) {
  std::vector<int64_t> cut;
  cut.reserve(images.size() * count);
  for (const auto& cells : images) {
    cut.insert(cut.end(), cells.begin(), cells.begin() + static_cast<int64_t>(count));
  }
  return cut;
}

}  // namespace

uint32_t PositionSeed(uint64_t seed, int shard) {
  // Finalizer of MurmurHash3: a bijection of 32 bits with 0 -> 0.
  uint32_t mixed = static_cast<uint32_t>(shard);
  mixed = (mixed ^ (mixed >> 16)) * 0x85ebca6bu;
  mixed = (mixed ^ (mixed >> 13)) * 0xc2b2ae35u;
  mixed ^= mixed >> 16;
  return static_cast<uint32_t>(seed) ^ mixed;
}

ReferenceMaskSampler::ReferenceMaskSampler(const MaskConfig& config, MaskGrid grid,
                                           uint64_t position_seed, int64_t first_step)
    : config_(config), grid_(grid), generator_(position_seed), next_step_(first_step) {}

StepSizes ReferenceMaskSampler::SizesAt(int64_t step) const {
  TorchGenerator generator(static_cast<uint64_t>(step));
  const double target = generator.Rand();
  const double context = generator.Rand();
  const auto between = [](Range range, double share) {
    return range.low + share * (range.high - range.low);
  };
  const MaskGrid limit = LargestBlock(MaskMode::kReference, grid_);
  return {SizeOf(grid_, between(config_.pred_mask_scale, target),
                 between(config_.aspect_ratio, target), limit),
          SizeOf(grid_, between(config_.enc_mask_scale, context), 1.0, limit)};
}

Block ReferenceMaskSampler::Place(BlockSize size) {
  // The bound is exclusive and one too small, so no block touches the last row or column.
  const uint64_t top = generator_.RandInt(static_cast<uint64_t>(grid_.height - size.height));
  const uint64_t left = generator_.RandInt(static_cast<uint64_t>(grid_.width - size.width));
  return {size, static_cast<int>(top), static_cast<int>(left)};
}

std::vector<int64_t> ReferenceMaskSampler::SampleContext(BlockSize size,
                                                         const std::vector<CellMap>& complements) {
  size_t used = config_.allow_overlap ? 0 : complements.size();
  for (int failed = 0;;) {
    std::vector<int64_t> cells = CellsOf(Place(size), grid_, complements, used);
    // A block without complements is always large enough: Sample has checked its size.
    if (cells.size() > static_cast<size_t>(config_.min_keep)) return cells;
    if (++failed % kTriesPerComplement == 0) {
      if (used > 0) --used;
      ++given_up_;
    }
  }
}

absl::StatusOr<MaskBatch> ReferenceMaskSampler::Sample(int64_t step, int batch) {
  if (step != next_step_) {
    return absl::FailedPreconditionError(
        absl::StrCat("masks of step ", step,
                     " asked for; mask.mode reference draws in order and "
                     "is at step ",
                     next_step_));
  }
  const StepSizes sizes = SizesAt(step);
  if (sizes.target.area() <= config_.min_keep || sizes.context.area() <= config_.min_keep) {
    return absl::InvalidArgumentError(absl::StrCat(
        "mask.min_keep is ", config_.min_keep, "; step ", step, " has target blocks of ",
        sizes.target.area(), " and context blocks of ", sizes.context.area(), " patches"));
  }
  std::vector<std::vector<std::vector<int64_t>>> targets(config_.num_pred_masks);
  std::vector<std::vector<std::vector<int64_t>>> contexts(config_.num_enc_masks);
  size_t kept = static_cast<size_t>(sizes.context.area());
  for (int image = 0; image < batch; ++image) {
    std::vector<CellMap> complements;
    for (auto& target : targets) {
      const Block block = Place(sizes.target);
      target.push_back(CellsOf(block, grid_, {}, 0));
      complements.push_back(Outside(block, grid_));
    }
    for (auto& context : contexts) {
      context.push_back(SampleContext(sizes.context, complements));
      kept = std::min(kept, context.back().size());
    }
  }
  MaskBatch masks;
  masks.context_patches = static_cast<int>(kept);
  masks.target_patches = sizes.target.area();
  for (const auto& context : contexts) masks.context.push_back(CutToFirst(context, kept));
  for (const auto& target : targets) {
    masks.target.push_back(CutToFirst(target, static_cast<size_t>(sizes.target.area())));
  }
  ++next_step_;
  return masks;
}

std::string ReferenceMaskSampler::State() const {
  return absl::StrCat(kStateMagic, absl::Hex(next_step_, absl::kZeroPad16), generator_.State());
}

absl::Status ReferenceMaskSampler::RestoreState(absl::string_view state) {
  constexpr size_t kStepDigits = 16;
  if (state.size() < kStateMagic.size() + kStepDigits ||
      state.substr(0, kStateMagic.size()) != kStateMagic) {
    return absl::DataLossError("mask state is not one of mask.mode reference");
  }
  state.remove_prefix(kStateMagic.size());
  int64_t step = 0;
  for (const char digit : state.substr(0, kStepDigits)) {
    const bool decimal = digit >= '0' && digit <= '9';
    if (!decimal && (digit < 'a' || digit > 'f')) {
      return absl::DataLossError("mask state has no step");
    }
    step = step * 16 + (decimal ? digit - '0' : digit - 'a' + 10);
    if (step > INT64_MAX / 32) return absl::DataLossError("mask state has an impossible step");
  }
  IJEPA_ASSIGN_OR_RETURN(generator_, TorchGenerator::FromState(state.substr(kStepDigits)));
  next_step_ = step;
  return absl::OkStatus();
}

}  // namespace jepa
