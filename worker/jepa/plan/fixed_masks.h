// The mask sampler without the defects of the published one: design.md, ruling 8.
#ifndef IJEPA_WORKER_JEPA_PLAN_FIXED_MASKS_H_
#define IJEPA_WORKER_JEPA_PLAN_FIXED_MASKS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "worker/jepa/plan/mask_blocks.h"
#include "worker/jepa/plan/masks.h"
#include "worker/jepa/plan/random.h"

namespace jepa {

// Stateless: a batch depends on (seed, step, shard, number of images) alone; block sizes, which are
// shared by all images of all shards so that no target is ever cut, on (seed, step).
class FixedMaskSampler : public MaskSampler {
 public:
  FixedMaskSampler(const MaskConfig& config, MaskGrid grid, uint64_t seed, int shard);

  absl::StatusOr<MaskBatch> Sample(int64_t step, int batch) override;
  std::string State() const override { return ""; }
  absl::Status RestoreState(absl::string_view state) override;

  StepSizes SizesAt(int64_t step) const;

  // Cells of one image, before the cut to the shard's minimum.
  struct ImageMasks {
    std::vector<std::vector<int64_t>> targets;
    std::vector<std::vector<int64_t>> contexts;
  };
  // One image as drawn, with the generator that chooses what the cut leaves of it.
  struct Drawn {
    ImageMasks masks;
    Philox random;
    size_t kept = 0;  // Cells of its smallest context.
  };
  // The two halves of Sample. Cut takes images of this step, of any shard.
  std::vector<Drawn> Draw(int64_t step, int batch) const;
  absl::StatusOr<MaskBatch> Cut(int64_t step, std::vector<Drawn> images) const;

 private:
  ImageMasks SampleImage(const StepSizes& sizes, Philox& random) const;
  // One try; the last `tied` targets lie on the first one.
  ImageMasks TryImage(const StepSizes& sizes, int tied, Philox& random) const;
  Block Place(BlockSize size, Philox& random) const;

  const MaskConfig config_;
  const MaskGrid grid_;
  const uint64_t seed_;
  const uint64_t shard_;
};

// mask.balance: the batches of the shards `wanted` when the images of all shards are dealt out
// again, the one with the smallest context to shard 0, the next one to shard 1, and so on in turns.
// So every shard is cut to one of the smallest, and the longest, for which the others wait, is as
// short as dealing can make it (performance.md 7, option iii). Masks do not depend on images, so
// each image has the same chances as before; but the mean of what is kept is lower, because without
// dealing only one shard would have been cut to the smallest. `shards`: the samplers of all of
// them. Draws for all, so costs as much as Sample for every shard.
absl::StatusOr<std::vector<MaskBatch>> SampleBalanced(const std::vector<FixedMaskSampler>& shards,
                                                      const std::vector<int>& wanted, int64_t step,
                                                      int batch);

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_PLAN_FIXED_MASKS_H_
