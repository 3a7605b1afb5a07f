// Pillow's antialiased bilinear resize: a triangle as wide as the scale, weights in fixed point,
// two passes with bytes between them. Only the pixels asked for are computed.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "common/check.h"
#include "worker/jepa/data/decode.h"
#include "worker/jepa/data/resize_kernels.h"

namespace jepa {
namespace {

// One axis: `in` pixels become `out`, of which [begin, begin + count) are wanted.
struct Axis {
  int64_t in = 0;
  int64_t out = 0;
  int64_t begin = 0;
  int count = 0;
};

// How the wanted pixels of an axis come from input pixels [first, first + span).
struct Pass {
  int64_t first = 0;
  int span = 0;
  bool copies = false;  // The axis keeps its length: no taps.
  ResizeTaps taps;      // Relative to `first`.
};

// Rows of RGB bytes, `stride` apart. Memory is readable up to `end`.
struct Pixels {
  const uint8_t* data = nullptr;
  size_t stride = 0;
  int rows = 0;
  int columns = 0;
  const uint8_t* end = nullptr;
};

// A byte more than the pixels: the row kernel reads and writes one beyond.
struct Buffer {
  Buffer(int rows, int columns)
      : bytes(static_cast<size_t>(rows) * columns * 3 + 1), rows(rows), columns(columns) {}
  size_t stride() const { return static_cast<size_t>(columns) * 3; }
  Pixels view() const {
    return {bytes.data(), stride(), rows, columns, bytes.data() + bytes.size()};
  }

  std::vector<uint8_t> bytes;
  int rows;
  int columns;
};

// Weights of the input pixels around the centre of one output pixel. Returns the first.
int64_t MakeWeights(const Axis& axis, double output, std::vector<double>& shares, int* count) {
  const double scale = static_cast<double>(axis.in) / static_cast<double>(axis.out);
  const double support = std::max(scale, 1.0);  // The triangle's half width.
  const double centre = (output + 0.5) * scale;
  const auto first = std::max<int64_t>(static_cast<int64_t>(centre - support + 0.5), 0);
  const auto end = std::min<int64_t>(static_cast<int64_t>(centre + support + 0.5), axis.in);
  *count = static_cast<int>(end - first);
  shares.resize(static_cast<size_t>(*count));
  double total = 0;
  for (int k = 0; k < *count; ++k) {
    const double distance =
        std::abs((static_cast<double>(k + first) - centre + 0.5) * (1.0 / support));
    shares[k] = distance < 1.0 ? 1.0 - distance : 0.0;
    total += shares[k];
  }
  for (double& share : shares) share /= total;
  return first;
}

Pass MakePass(const Axis& axis) {
  Pass pass;
  if (axis.in == axis.out) {
    pass.first = axis.begin;
    pass.span = axis.count;
    pass.copies = true;
    return pass;
  }
  const double scale = static_cast<double>(axis.in) / static_cast<double>(axis.out);
  ResizeTaps& taps = pass.taps;
  // An output pixel has no more taps than the input has pixels.
  taps.stride = static_cast<int>(
      std::min<int64_t>(std::llround(std::ceil(std::max(scale, 1.0))) * 2 + 1, axis.in));
  taps.first.resize(axis.count);
  taps.count.resize(axis.count);
  taps.weights.resize(static_cast<size_t>(axis.count) * taps.stride);
  std::vector<double> shares;
  for (int i = 0; i < axis.count; ++i) {
    taps.first[i] = MakeWeights(axis, static_cast<double>(axis.begin + i), shares, &taps.count[i]);
    int32_t* weights = taps.weights.data() + static_cast<size_t>(i) * taps.stride;
    for (int k = 0; k < taps.count[i]; ++k) {
      weights[k] = static_cast<int32_t>(0.5 + shares[k] * (1 << kWeightBits));
    }
  }
  pass.first = taps.first.front();
  pass.span = static_cast<int>(taps.first.back() + taps.count.back() - pass.first);
  for (int64_t& first : taps.first) first -= pass.first;
  return pass;
}

Buffer ResizeAcross(const Pixels& in, const ResizeTaps& taps) {
  Buffer out(in.rows, taps.outputs());
  std::vector<uint8_t> padded;
  const size_t row_bytes = static_cast<size_t>(in.columns) * 3;
  for (int y = 0; y < in.rows; ++y) {
    const uint8_t* row = in.data + in.stride * y;
    if (row + row_bytes == in.end) {
      padded.assign(row, in.end);
      padded.push_back(0);
      row = padded.data();
    }
    ResizeRow(row, taps, out.bytes.data() + out.stride() * y);
  }
  return out;
}

Buffer ResizeDown(const Pixels& in, const ResizeTaps& taps) {
  Buffer out(taps.outputs(), in.columns);
  std::vector<int32_t> sums(out.stride());
  for (int y = 0; y < out.rows; ++y) {
    const RowBlock rows{in.data + in.stride * taps.first[y], in.stride, taps.count[y]};
    ResizeColumns(rows, taps.weights_of(y), out.stride(), sums.data(),
                  out.bytes.data() + out.stride() * y);
  }
  return out;
}

Buffer Copied(const Pixels& in) {
  Buffer out(in.rows, in.columns);
  for (int y = 0; y < in.rows; ++y) {
    std::memcpy(out.bytes.data() + out.stride() * y, in.data + in.stride * y, out.stride());
  }
  return out;
}

Buffer RunPasses(const Pixels& in, const Pass& down, const Pass& across, bool down_first) {
  if (down.copies && across.copies) return Copied(in);
  if (down.copies) return ResizeAcross(in, across.taps);
  if (across.copies) return ResizeDown(in, down.taps);
  if (down_first) return ResizeAcross(ResizeDown(in, down.taps).view(), across.taps);
  return ResizeDown(ResizeAcross(in, across.taps).view(), down.taps);
}

Image Resize(const Image& image, const Crop& crop, const Axis& vertical, const Axis& horizontal) {
  const Pass down = MakePass(vertical);
  const Pass across = MakePass(horizontal);
  const size_t stride = static_cast<size_t>(image.width) * 3;
  const Pixels in{image.pixels.data() + static_cast<size_t>(crop.top + down.first) * stride +
                      static_cast<size_t>(crop.left + across.first) * 3,
                  stride, down.span, across.span, image.pixels.data() + image.pixels.size()};
  // Pillow 13 begins with the rows' pass unless the height loses more than twice what the width
  // does. The order shows in the rounding between the passes.
  const bool down_first =
      vertical.in - vertical.out > 2 * std::max<int64_t>(horizontal.in - horizontal.out, 0);
  Buffer out = RunPasses(in, down, across, down_first);
  out.bytes.pop_back();
  return {out.rows, out.columns, std::move(out.bytes)};
}

// torchvision's centre crop: half to even, as Python rounds.
int64_t CentreOffset(int64_t length, int size) {
  return std::llrint(static_cast<double>(length - size) / 2.0);
}

}  // namespace

Image CropAndResize(const Image& image, Crop crop, int out_height, int out_width) {
  IJEPA_CHECK(crop.top >= 0 && crop.left >= 0 && crop.height > 0 && crop.width > 0);
  IJEPA_CHECK(crop.height <= image.height - crop.top && crop.width <= image.width - crop.left);
  IJEPA_CHECK(out_height > 0 && out_width > 0);
  return Resize(image, crop, {crop.height, out_height, 0, out_height},
                {crop.width, out_width, 0, out_width});
}

Image ResizeAndCentreCrop(const Image& image, int size) {
  IJEPA_CHECK(image.height > 0 && image.width > 0 && size > 0);
  const int64_t shorter = std::min(image.height, image.width);
  const auto scaled = [&](int64_t side) {
    return side == shorter ? size : static_cast<int64_t>(size) * side / shorter;
  };
  const int64_t height = scaled(image.height);
  const int64_t width = scaled(image.width);
  return Resize(image, {0, 0, image.height, image.width},
                {image.height, height, CentreOffset(height, size), size},
                {image.width, width, CentreOffset(width, size), size});
}

}  // namespace jepa
