// Weights in double precision as Pillow makes them, then integers only.
#include "worker/jepa/data/view_resizer.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "common/check.h"

namespace jepa {
namespace {

// torchvision's centre crop: half to even, as Python rounds.
int64_t CentreOffset(int64_t length, int64_t size) {
  return std::llrint(static_cast<double>(length - size) / 2.0);
}

}  // namespace

ViewGeometry CropGeometry(const Crop& crop, int height, int width) {
  return {crop, height, width, 0, 0, height, width, false};
}

ViewGeometry CentreGeometry(const Size& image, int height, int width) {
  IJEPA_CHECK(image.height > 0 && image.width > 0 && height > 0 && width > 0);
  ViewGeometry view{{0, 0, image.height, image.width}, height, width, 0, 0, height, width, false};
  if (int64_t{height} * image.width >= int64_t{width} * image.height) {
    view.resized_width = int64_t{height} * image.width / image.height;
  } else {
    view.resized_height = int64_t{width} * image.height / image.width;
  }
  view.kept_top = CentreOffset(view.resized_height, height);
  view.kept_left = CentreOffset(view.resized_width, width);
  return view;
}

AxisScale Vertical(const ViewGeometry& view) {
  const double length = view.box_height > 0 ? view.box_height : view.crop.height;
  return {view.crop.height, view.resized_height, view.box_top, length};
}

AxisScale Horizontal(const ViewGeometry& view) {
  const double length = view.box_width > 0 ? view.box_width : view.crop.width;
  return {view.crop.width, view.resized_width, view.box_left, length};
}

bool DownFirst(const ViewGeometry& view) {
  return view.crop.height - view.resized_height >
         2 * std::max<int64_t>(view.crop.width - view.resized_width, 0);
}

int64_t BilinearShares(const AxisScale& axis, double output, std::vector<double>& shares,
                       int& count) {
  const double scale = axis.length / static_cast<double>(axis.out);
  const double support = std::max(scale, 1.0);  // The triangle's half width.
  const double centre = axis.start + (output + 0.5) * scale;
  const auto first = std::max<int64_t>(static_cast<int64_t>(centre - support + 0.5), 0);
  const auto end = std::min<int64_t>(static_cast<int64_t>(centre + support + 0.5), axis.in);
  count = static_cast<int>(end - first);
  if (shares.size() < static_cast<size_t>(count)) shares.resize(static_cast<size_t>(count));
  const double slope = 1.0 / support;
  double total = 0;
  for (int k = 0; k < count; ++k) {
    const double distance = std::abs((static_cast<double>(k + first) - centre + 0.5) * slope);
    shares[k] = distance < 1.0 ? 1.0 - distance : 0.0;
    total += shares[k];
  }
  for (int k = 0; k < count; ++k) shares[k] /= total;
  return first;
}

// An axis that keeps its length gets one whole weight per pixel, which changes nothing.
void ViewResizer::MakePass(const Axis& axis, Pass& pass) {
  const AxisScale& scale = axis.scale;
  const bool same = scale.in == scale.out && scale.length == static_cast<double>(scale.in);
  const double shrink = std::max(scale.length / static_cast<double>(scale.out), 1.0);
  ResizeTaps& taps = pass.taps;
  // An output pixel has no more taps than the input has pixels.
  taps.stride =
      static_cast<int>(std::min<int64_t>(std::llround(std::ceil(shrink)) * 2 + 1, scale.in));
  if (same) taps.stride = 1;
  taps.first.resize(axis.count);
  taps.count.resize(axis.count);
  taps.weights.resize(static_cast<size_t>(axis.count) * taps.stride);
  for (int i = 0; i < axis.count; ++i) {
    int32_t* weights = taps.weights.data() + static_cast<size_t>(i) * taps.stride;
    if (same) {
      taps.first[i] = axis.begin + i;
      taps.count[i] = 1;
      weights[0] = 1 << kWeightBits;
      continue;
    }
    taps.first[i] =
        BilinearShares(scale, static_cast<double>(axis.begin + i), shares_, taps.count[i]);
    for (int k = 0; k < taps.count[i]; ++k) {
      weights[k] = static_cast<int32_t>(0.5 + shares_[k] * (1 << kWeightBits));
    }
  }
  pass.first = taps.first.front();
  pass.span = static_cast<int>(taps.first.back() + taps.count.back() - pass.first);
  for (int64_t& first : taps.first) first -= pass.first;
}

Crop ViewResizer::Begin(const ViewGeometry& view, int channels, uint8_t* planes) {
  IJEPA_CHECK(view.crop.top >= 0 && view.crop.left >= 0 && channels > 0);
  IJEPA_CHECK(view.crop.height > 0 && view.crop.width > 0 && view.height > 0 && view.width > 0);
  MakePass({Vertical(view), view.kept_top, view.height}, down_);
  MakePass({Horizontal(view), view.kept_left, view.width}, across_);
  across_.taps.MakeFours();
  if (view.mirror) across_.taps.Reverse();
  // The rows' pass comes first unless the height loses more than twice what the width does.
  down_first_ = DownFirst(view);
  // An axis that keeps its length is no pass: whichever order, the bits are the same.
  channels_ = channels;
  width_ = view.width;
  planes_ = planes;
  plane_ = static_cast<size_t>(view.height) * view.width;
  const size_t row_bytes = static_cast<size_t>(down_first_ ? across_.span : width_) * channels;
  ring_stride_ = row_bytes + kRowPadding;
  ring_.resize(std::max(ring_.size(), ring_stride_ * down_.taps.stride));
  stack_.resize(static_cast<size_t>(down_.taps.stride));
  if (down_first_) line_.resize(std::max(line_.size(), ring_stride_));
  rows_ = 0;
  outputs_ = 0;
  return {view.crop.top + static_cast<int>(down_.first),
          view.crop.left + static_cast<int>(across_.first), down_.span, across_.span};
}

void ViewResizer::Row(const uint8_t* pixels) {
  uint8_t* kept = ring_.data() + ring_stride_ * (rows_ % down_.taps.stride);
  if (down_first_) {
    std::memcpy(kept, pixels, static_cast<size_t>(across_.span) * channels_);
  } else {
    kernels_.across(pixels, across_.taps, {kept, static_cast<size_t>(width_), channels_});
  }
  ++rows_;
  const ResizeTaps& taps = down_.taps;
  while (outputs_ < taps.outputs() && taps.first[outputs_] + taps.count[outputs_] <= rows_) {
    Finish(outputs_++);
  }
}

void ViewResizer::Finish(int output) {
  const ResizeTaps& taps = down_.taps;
  for (int k = 0; k < taps.count[output]; ++k) {
    stack_[k] = ring_.data() + ring_stride_ * ((taps.first[output] + k) % taps.stride);
  }
  RowStack rows{stack_.data(), taps.weights_of(output), taps.count[output]};
  uint8_t* out = planes_ + static_cast<size_t>(output) * width_;
  if (down_first_) {
    kernels_.down(rows, static_cast<size_t>(across_.span) * channels_, line_.data());
    kernels_.across(line_.data(), across_.taps, {out, plane_, channels_});
    return;
  }
  for (int c = 0; c < channels_; ++c, out += plane_) {
    kernels_.down(rows, static_cast<size_t>(width_), out);
    for (int k = 0; k < rows.count; ++k) stack_[k] += width_;
  }
}

}  // namespace jepa
