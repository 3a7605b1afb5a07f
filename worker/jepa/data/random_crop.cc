// The centred crop for images too long or too tall for a random one.
#include "worker/jepa/data/random_crop.h"

#include <algorithm>

namespace jepa {

Crop CentreFallback(int height, int width) {
  const double aspect = static_cast<double>(width) / height;
  Crop crop{0, 0, height, width};
  if (aspect < kCropAspect.low) {
    crop.height = static_cast<int>(std::llrint(width / kCropAspect.low));
  } else if (aspect > kCropAspect.high) {
    crop.width = static_cast<int>(std::llrint(height * kCropAspect.high));
  }
  crop.height = std::clamp(crop.height, 1, height);
  crop.width = std::clamp(crop.width, 1, width);
  crop.top = (height - crop.height) / 2;
  crop.left = (width - crop.width) / 2;
  return crop;
}

}  // namespace jepa
