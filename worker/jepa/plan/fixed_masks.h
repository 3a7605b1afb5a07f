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

 private:
  // Cells of one image, before the cut to the shard's minimum.
  struct ImageMasks {
    std::vector<std::vector<int64_t>> targets;
    std::vector<std::vector<int64_t>> contexts;
  };

  ImageMasks SampleImage(const StepSizes& sizes, Philox& random) const;
  // One try; the last `tied` targets lie on the first one.
  ImageMasks TryImage(const StepSizes& sizes, int tied, Philox& random) const;
  Block Place(BlockSize size, Philox& random) const;

  const MaskConfig config_;
  const MaskGrid grid_;
  const uint64_t seed_;
  const uint64_t shard_;
};

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_PLAN_FIXED_MASKS_H_
