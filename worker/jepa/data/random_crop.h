// Where a random resized crop lies: torchvision's law, from any source of uniform numbers.
#ifndef IJEPA_WORKER_JEPA_DATA_RANDOM_CROP_H_
#define IJEPA_WORKER_JEPA_DATA_RANDOM_CROP_H_

#include <cmath>
#include <cstdint>

#include "worker/jepa/config.h"
#include "worker/jepa/data/decode.h"

namespace jepa {

inline constexpr Range kCropAspect{3.0 / 4.0, 4.0 / 3.0};
inline constexpr int kCropTries = 10;

// The largest centred part whose aspect ratio is in kCropAspect: what is left when no try fits.
Crop CentreFallback(int height, int width);

// A part of a height x width image whose area is uniform in `scale` and whose aspect ratio is
// log-uniform in kCropAspect; up to kCropTries tries, then CentreFallback. `Random` has
// Uniform(low, high) and Below(bound), as Philox has. ijepa-spec 4.
template <typename Random>
Crop DrawCrop(int height, int width, Range scale, Random& random) {
  const double area = static_cast<double>(height) * width;
  const Range log_aspect{std::log(kCropAspect.low), std::log(kCropAspect.high)};
  for (int i = 0; i < kCropTries; ++i) {
    const double wanted = area * random.Uniform(scale.low, scale.high);
    const double aspect = std::exp(random.Uniform(log_aspect.low, log_aspect.high));
    const int64_t w = std::llrint(std::sqrt(wanted * aspect));
    const int64_t h = std::llrint(std::sqrt(wanted / aspect));
    if (w < 1 || h < 1 || w > width || h > height) continue;
    Crop crop{0, 0, static_cast<int>(h), static_cast<int>(w)};
    crop.top = static_cast<int>(random.Below(static_cast<uint32_t>(height - crop.height + 1)));
    crop.left = static_cast<int>(random.Below(static_cast<uint32_t>(width - crop.width + 1)));
    return crop;
  }
  return CentreFallback(height, width);
}

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_DATA_RANDOM_CROP_H_
