// A side is a step function of the aspect ratio, so the extremes of the area are found exactly by
// looking between its steps.
#include "worker/jepa/plan/mask_blocks.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace jepa {
namespace {

// The smaller of the rounded side and its limit; std::lrint rounds halves to even, as Python does.
int Side(double length, int limit) {
  return static_cast<int>(std::min<long>(std::lrint(length), limit));
}

BlockSize SizeOfArea(double area, double aspect, MaskGrid limit) {
  return {Side(std::sqrt(area * aspect), limit.height),
          Side(std::sqrt(area / aspect), limit.width)};
}

struct Extremes {
  int min = std::numeric_limits<int>::max();
  int max = 0;
  void Add(BlockSize size) {
    min = std::min(min, size.area());
    max = std::max(max, size.area());
  }
};

// All sizes of `area` patches with an aspect ratio in [aspect.low, aspect.high].
void AddAspects(double area, Range aspect, MaskGrid limit, Extremes& extremes) {
  std::vector<double> steps = {aspect.low, aspect.high};
  const auto add = [&](double step) {
    if (step > aspect.low && step < aspect.high) steps.push_back(step);
  };
  // Of the sides that the aspect ratios give; a side beyond stays at its limit.
  const auto sides = [&](double low, double high, int most, const auto& step_of) {
    for (int side = static_cast<int>(low); side <= most && side <= high + 1; ++side) {
      add(step_of(side + 0.5));
    }
  };
  sides(std::sqrt(area * aspect.low), std::sqrt(area * aspect.high), limit.height,
        [&](double side) { return side * side / area; });
  sides(std::sqrt(area / aspect.high), std::sqrt(area / aspect.low), limit.width,
        [&](double side) { return area / (side * side); });
  std::sort(steps.begin(), steps.end());
  for (size_t i = 0; i < steps.size(); ++i) {
    extremes.Add(SizeOfArea(area, steps[i], limit));
    if (i > 0) extremes.Add(SizeOfArea(area, (steps[i - 1] + steps[i]) / 2, limit));
  }
}

double Between(Range range, double share) { return range.low + share * (range.high - range.low); }

// Sizes of a block whose scale is drawn from `scale` and whose aspect ratio is drawn from `aspect`:
// independently, or, as published, by the same number.
Extremes ExtremesOf(MaskMode mode, MaskGrid grid, Range scale, Range aspect) {
  const MaskGrid limit = LargestBlock(mode, grid);
  const double cells = static_cast<double>(grid.height) * grid.width;
  const double first = std::floor(cells * scale.low);
  const double last = std::floor(cells * scale.high);
  const double span = scale.high - scale.low;
  Extremes extremes;
  if (mode == MaskMode::kFixed) {
    // At any aspect ratio both sides grow with the area.
    for (double area : {first, last}) AddAspects(area, aspect, limit, extremes);
    return extremes;
  }
  for (double area = first; area <= last; ++area) {
    Range reachable = aspect;
    if (span > 0) {
      const double from = std::clamp((area / cells - scale.low) / span, 0.0, 1.0);
      const double to = std::clamp(((area + 1) / cells - scale.low) / span, 0.0, 1.0);
      reachable = {Between(aspect, from), Between(aspect, to)};
      // The number is below 1, so an area that needs 1 is never drawn.
      if (from == 1.0 && area > first) continue;
    }
    AddAspects(area, reachable, limit, extremes);
  }
  return extremes;
}

}  // namespace

BlockSize SizeOf(MaskGrid grid, double scale, double aspect, MaskGrid limit) {
  return SizeOfArea(std::floor(grid.height * grid.width * scale), aspect, limit);
}

MaskGrid LargestBlock(MaskMode mode, MaskGrid grid) {
  if (mode == MaskMode::kFixed) return grid;
  return {grid.height - 1, grid.width - 1};
}

AreaBounds BoundsOf(const MaskConfig& config, MaskGrid grid) {
  const double square =
      config.mode == MaskMode::kFixed ? static_cast<double>(grid.height) / grid.width : 1.0;
  const Extremes target =
      ExtremesOf(config.mode, grid, config.pred_mask_scale, config.aspect_ratio);
  const Extremes context = ExtremesOf(config.mode, grid, config.enc_mask_scale, {square, square});
  return {target.min, target.max, context.min, context.max};
}

std::vector<int64_t> CellsOf(const Block& block, MaskGrid grid, const std::vector<CellMap>& maps,
                             size_t count) {
  std::vector<int64_t> cells;
  cells.reserve(static_cast<size_t>(block.size.area()));
  for (int row = block.top; row < block.top + block.size.height; ++row) {
    for (int column = block.left; column < block.left + block.size.width; ++column) {
      const int64_t cell = static_cast<int64_t>(row) * grid.width + column;
      bool usable = true;
      for (size_t i = 0; i < count && usable; ++i) usable = maps[i][static_cast<size_t>(cell)] != 0;
      if (usable) cells.push_back(cell);
    }
  }
  return cells;
}

CellMap Outside(const Block& block, MaskGrid grid) {
  CellMap map(static_cast<size_t>(grid.height) * grid.width, 1);
  for (int row = block.top; row < block.top + block.size.height; ++row) {
    const auto start = map.begin() + static_cast<int64_t>(row) * grid.width + block.left;
    std::fill(start, start + block.size.width, 0);
  }
  return map;
}

}  // namespace jepa
