// The published mask sampler, draw for draw, defects included. ijepa-spec 2; golden set d_masks.
#ifndef IJEPA_WORKER_JEPA_PLAN_REFERENCE_MASKS_H_
#define IJEPA_WORKER_JEPA_PLAN_REFERENCE_MASKS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "worker/jepa/plan/mask_blocks.h"
#include "worker/jepa/plan/masks.h"
#include "worker/jepa/plan/torch_generator.h"

namespace jepa {

// Seed of the positions of a shard. Shard 0 has the published stream of `seed`; no two shards of a
// seed have the same one.
uint32_t PositionSeed(uint64_t seed, int shard);

class ReferenceMaskSampler : public MaskSampler {
 public:
  // Starts at `first_step` with positions from manual_seed(position_seed). The original gives every
  // process the same seed; equal position seeds restore that.
  ReferenceMaskSampler(const MaskConfig& config, MaskGrid grid, uint64_t position_seed,
                       int64_t first_step);

  absl::StatusOr<MaskBatch> Sample(int64_t step, int batch) override;
  std::string State() const override;
  absl::Status RestoreState(absl::string_view state) override;

  // Block sizes depend on the step alone.
  StepSizes SizesAt(int64_t step) const;
  const TorchGenerator& generator() const { return generator_; }
  // How often a target's complement was given up because no context was large enough.
  int64_t given_up() const { return given_up_; }

 private:
  Block Place(BlockSize size);
  std::vector<int64_t> SampleContext(BlockSize size, const std::vector<CellMap>& complements);

  const MaskConfig config_;
  const MaskGrid grid_;
  TorchGenerator generator_;
  int64_t next_step_;
  int64_t given_up_ = 0;
};

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_PLAN_REFERENCE_MASKS_H_
