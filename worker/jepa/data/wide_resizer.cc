// Two plain passes over a whole crop.
#include "worker/jepa/data/wide_resizer.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "common/check.h"

namespace jepa {
namespace {

// Values of one channel, row after row.
struct Plane {
  int64_t height = 0;
  int64_t width = 0;
  std::vector<uint16_t> values;
};

Plane CutOut(const Image& image, const Crop& crop, int channel) {
  Plane plane{crop.height, crop.width, {}};
  plane.values.reserve(static_cast<size_t>(crop.height) * crop.width);
  for (int y = crop.top; y < crop.top + crop.height; ++y) {
    const size_t pixel = static_cast<size_t>(y) * image.width + crop.left;
    const uint8_t* value = image.pixels.data() + pixel * image.pixel_bytes + channel * 2;
    for (int x = 0; x < crop.width; ++x, value += image.pixel_bytes) {
      uint16_t number;
      std::memcpy(&number, value, sizeof(number));
      plane.values.push_back(number);
    }
  }
  return plane;
}

uint16_t Rounded(double sum) {
  return static_cast<uint16_t>(std::clamp(std::floor(sum + 0.5), 0.0, 65535.0));
}

bool Keeps(const AxisScale& axis) {
  return axis.in == axis.out && axis.length == static_cast<double>(axis.in);
}

Plane Across(const Plane& in, const AxisScale& axis) {
  if (Keeps(axis)) return in;
  Plane out{in.height, axis.out, std::vector<uint16_t>(in.height * axis.out)};
  std::vector<double> shares;
  for (int64_t x = 0; x < axis.out; ++x) {
    int count = 0;
    const int64_t first = BilinearShares(axis, static_cast<double>(x), shares, count);
    for (int64_t y = 0; y < in.height; ++y) {
      const uint16_t* pixel = in.values.data() + y * in.width + first;
      double sum = 0;
      for (int k = 0; k < count; ++k) sum += pixel[k] * shares[k];
      out.values[y * axis.out + x] = Rounded(sum);
    }
  }
  return out;
}

Plane Down(const Plane& in, const AxisScale& axis) {
  if (Keeps(axis)) return in;
  Plane out{axis.out, in.width, std::vector<uint16_t>(axis.out * in.width)};
  std::vector<double> shares;
  for (int64_t y = 0; y < axis.out; ++y) {
    int count = 0;
    const int64_t first = BilinearShares(axis, static_cast<double>(y), shares, count);
    for (int64_t x = 0; x < in.width; ++x) {
      const uint16_t* pixel = in.values.data() + first * in.width + x;
      double sum = 0;
      for (int k = 0; k < count; ++k) sum += pixel[k * in.width] * shares[k];
      out.values[y * in.width + x] = Rounded(sum);
    }
  }
  return out;
}

}  // namespace

void ResizeWide(const Image& image, const ViewGeometry& view, uint8_t* planes) {
  IJEPA_CHECK(image.pixel_bytes % 2 == 0);
  IJEPA_CHECK(view.crop.height <= image.height - view.crop.top);
  IJEPA_CHECK(view.crop.width <= image.width - view.crop.left);
  const size_t row_bytes = static_cast<size_t>(view.width) * 2;
  for (int channel = 0; channel < image.pixel_bytes / 2; ++channel) {
    Plane plane = CutOut(image, view.crop, channel);
    if (DownFirst(view)) {
      plane = Across(Down(plane, Vertical(view)), Horizontal(view));
    } else {
      plane = Down(Across(plane, Horizontal(view)), Vertical(view));
    }
    for (int y = 0; y < view.height; ++y, planes += row_bytes) {
      uint16_t* row = plane.values.data() + (view.kept_top + y) * plane.width + view.kept_left;
      if (view.mirror) std::reverse(row, row + view.width);
      std::memcpy(planes, row, row_bytes);
    }
  }
}

}  // namespace jepa
