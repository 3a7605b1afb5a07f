// Context and target blocks of every image, drawn without tensors. I-JEPA (arXiv:2301.08243), Sec.
// 3; ijepa-spec 2.
//
// Two samplers. `reference` equals the published one draw for draw (one mt19937 per shard for
// positions, block sizes from a generator seeded with the step) with its known defects. `fixed`
// cures them: scale and aspect ratio are independent, the last row and column are reachable, no
// draw loops for ever, and images give up surplus patches at random instead of from the bottom.
// `fixed` is counter-based: masks of (seed, step, shard) never depend on history.
#ifndef IJEPA_WORKER_JEPA_PLAN_MASKS_H_
#define IJEPA_WORKER_JEPA_PLAN_MASKS_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "worker/jepa/config.h"

namespace jepa {

// The masks of one shard's batch. Index lists are row-major patch numbers in [0, height * width);
// within a block they ascend. Every context block has context_patches entries and every target
// block target_patches.
struct MaskBatch {
  int context_patches = 0;  // K_c
  int target_patches = 0;   // K_p
  // [num_enc_masks][B * context_patches] and [num_pred_masks][B * target_patches], image-major.
  std::vector<std::vector<int64_t>> context;
  std::vector<std::vector<int64_t>> target;
};

// Draws the masks of one shard, step after step. Thread-compatible.
class MaskSampler {
 public:
  virtual ~MaskSampler() = default;
  // Masks for `batch` images of step `step` (from 0). For `reference` steps must be asked for in
  // order; asking for another one than the next is FailedPrecondition.
  virtual absl::StatusOr<MaskBatch> Sample(int64_t step, int batch) = 0;
  // What a checkpoint keeps so that RestoreState continues the same stream: empty for `fixed`.
  virtual std::string State() const = 0;
  // Returns DataLoss if `state` is not one of State's.
  virtual absl::Status RestoreState(absl::string_view state) = 0;
};

struct MaskGrid {
  int height = 0;
  int width = 0;
};

// Whether every draw can succeed: patches per side, ranges, and the smallest possible block above
// min_keep (else the published sampler never returns). Returns InvalidArgument naming the field,
// the value and the nearest workable value.
absl::Status ValidateMasks(const MaskConfig& config, MaskGrid grid);

// The default of mask.mode: kFixed below 12 patches per side, else kReference.
MaskMode DefaultMaskMode(MaskGrid grid);

// `config` must have passed ValidateMasks. `shard` selects the stream: shards never share draws of
// positions. `reference` begins at `first_step` with the positions of a fresh stream, as the
// published program does when it resumes.
std::unique_ptr<MaskSampler> NewMaskSampler(const MaskConfig& config, MaskGrid grid, uint64_t seed,
                                            int shard, int64_t first_step = 0);

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_PLAN_MASKS_H_
