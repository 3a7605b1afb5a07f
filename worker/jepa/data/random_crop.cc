// The centred crop for images too long or too tall for a random one.
#include "worker/jepa/data/random_crop.h"

#include <algorithm>

namespace jepa {

Crop CentreFallback(Size image, double view_aspect) {
  const double aspect = static_cast<double>(image.width) / image.height;
  const Range allowed{kCropAspect.low * view_aspect, kCropAspect.high * view_aspect};
  Crop crop{0, 0, image.height, image.width};
  if (aspect < allowed.low) {
    crop.height = static_cast<int>(std::llrint(image.width / allowed.low));
  } else if (aspect > allowed.high) {
    crop.width = static_cast<int>(std::llrint(image.height * allowed.high));
  }
  crop.height = std::clamp(crop.height, 1, image.height);
  crop.width = std::clamp(crop.width, 1, image.width);
  crop.top = (image.height - crop.height) / 2;
  crop.left = (image.width - crop.width) / 2;
  return crop;
}

}  // namespace jepa
