// Where a random resized crop lies: torchvision's law, from any source of uniform numbers.
#ifndef IJEPA_WORKER_JEPA_DATA_RANDOM_CROP_H_
#define IJEPA_WORKER_JEPA_DATA_RANDOM_CROP_H_

#include <cmath>
#include <cstdint>

#include "worker/jepa/config.h"
#include "worker/jepa/data/decode.h"

namespace jepa {

// Width over height of a crop, over that of the view it becomes.
inline constexpr Range kCropAspect{3.0 / 4.0, 4.0 / 3.0};
inline constexpr int kCropTries = 10;

// The largest centred part whose aspect ratio over `view_aspect` is in kCropAspect: what is left
// when no try fits.
Crop CentreFallback(Size image, double view_aspect);

// A part of an image whose area is uniform in `scale` and whose aspect ratio is log-uniform in
// kCropAspect, times `view_aspect` (width over height of the view; 1 as published); up to
// kCropTries tries, then CentreFallback. `Random` has Uniform(low, high) and Below(bound), as
// Philox has. ijepa-spec 4.
template <typename Random>
Crop DrawCrop(Size image, Range scale, double view_aspect, Random& random) {
  const double area = static_cast<double>(image.height) * image.width;
  const Range log_aspect{std::log(kCropAspect.low * view_aspect),
                         std::log(kCropAspect.high * view_aspect)};
  for (int i = 0; i < kCropTries; ++i) {
    const double wanted = area * random.Uniform(scale.low, scale.high);
    const double aspect = std::exp(random.Uniform(log_aspect.low, log_aspect.high));
    const int64_t w = std::llrint(std::sqrt(wanted * aspect));
    const int64_t h = std::llrint(std::sqrt(wanted / aspect));
    if (w < 1 || h < 1 || w > image.width || h > image.height) continue;
    Crop crop{0, 0, static_cast<int>(h), static_cast<int>(w)};
    crop.top =
        static_cast<int>(random.Below(static_cast<uint32_t>(image.height - crop.height + 1)));
    crop.left = static_cast<int>(random.Below(static_cast<uint32_t>(image.width - crop.width + 1)));
    return crop;
  }
  return CentreFallback(image, view_aspect);
}

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_DATA_RANDOM_CROP_H_
