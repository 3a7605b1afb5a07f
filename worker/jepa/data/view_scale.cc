// Fractions of pixels are kept, so that the view does not shift.
#include "worker/jepa/data/view_scale.h"

#include <algorithm>

#include "common/check.h"

namespace jepa {
namespace {

constexpr int kMinSide = 900;
constexpr int kOversampling = 2;

}  // namespace

int DctReduction(const Size& image, const ViewGeometry& view) {
  if (std::min(image.height, image.width) < kMinSide) return 1;
  for (const int reduction : {8, 4, 2}) {
    const bool fine = view.crop.height >= kOversampling * reduction * view.resized_height &&
                      view.crop.width >= kOversampling * reduction * view.resized_width;
    if (fine) return reduction;
  }
  return 1;
}

ViewGeometry Reduced(const ViewGeometry& view, int reduction, const Size& reduced_image) {
  IJEPA_CHECK(reduction >= 1 && view.box_height == 0);
  ViewGeometry small = view;
  const int bottom = view.crop.top + view.crop.height;
  const int right = view.crop.left + view.crop.width;
  small.crop.top = view.crop.top / reduction;
  small.crop.left = view.crop.left / reduction;
  small.crop.height =
      std::min((bottom + reduction - 1) / reduction, reduced_image.height) - small.crop.top;
  small.crop.width =
      std::min((right + reduction - 1) / reduction, reduced_image.width) - small.crop.left;
  const double scale = reduction;
  small.box_top = view.crop.top / scale - small.crop.top;
  small.box_left = view.crop.left / scale - small.crop.left;
  small.box_height = view.crop.height / scale;
  small.box_width = view.crop.width / scale;
  return small;
}

}  // namespace jepa
