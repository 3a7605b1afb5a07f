// Block geometry that both mask samplers and their validation share.
#ifndef IJEPA_WORKER_JEPA_PLAN_MASK_BLOCKS_H_
#define IJEPA_WORKER_JEPA_PLAN_MASK_BLOCKS_H_

#include <cstdint>
#include <vector>

#include "worker/jepa/config.h"
#include "worker/jepa/plan/masks.h"

namespace jepa {

struct BlockSize {
  int height = 0;
  int width = 0;
  int area() const { return height * width; }
};

// A block of `size` with its upper left corner at (top, left).
struct Block {
  BlockSize size;
  int top = 0;
  int left = 0;
};

// Sizes of one step: the same for all images.
struct StepSizes {
  BlockSize target;
  BlockSize context;
};

// Sides of a block that covers `scale` of the grid with height / width = `aspect`, each at most
// those of `limit`. ijepa-spec 2, step 3.
BlockSize SizeOf(MaskGrid grid, double scale, double aspect, MaskGrid limit);

// The largest side lengths that a sampler draws: the whole grid, or one less for `reference`.
MaskGrid LargestBlock(MaskMode mode, MaskGrid grid);

// Smallest and largest area over every pair that a sampler can draw.
struct AreaBounds {
  int target_min = 0;
  int target_max = 0;
  int context_min = 0;
  int context_max = 0;
};
AreaBounds BoundsOf(const MaskConfig& config, MaskGrid grid);

// Cells of a grid: 1 where they may be used.
using CellMap = std::vector<uint8_t>;

// Row-major numbers of the cells of `block` that are 1 in all of the first `count` maps.
std::vector<int64_t> CellsOf(const Block& block, MaskGrid grid, const std::vector<CellMap>& maps,
                             size_t count);

// The map that is 0 inside `block` and 1 elsewhere.
CellMap Outside(const Block& block, MaskGrid grid);

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_PLAN_MASK_BLOCKS_H_
