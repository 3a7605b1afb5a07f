// Pixels to the rows of the patch-embedding product, normalised. No CUDA headers needed here.
#ifndef IJEPA_WORKER_JEPA_KERNELS_UNFOLD_PIXELS_H_
#define IJEPA_WORKER_JEPA_KERNELS_UNFOLD_PIXELS_H_

#include <cstdint>

#include "worker/jepa/kernels/element.h"

namespace jepa {

// pixels [images, channels, grid_height * patch, grid_width * patch] of 8 or 16 bits ->
// out [images * grid_height * grid_width, columns]: column (c, y, x) of a patch is
// (value / peak - mean[c]) / std[c] in fp32, rounded to `type`; columns from channels * patch^2 on
// are zeros. performance.md 3, row 11: bf16 products want rows of a multiple of eight.
struct UnfoldPixels {
  const void* pixels = nullptr;
  void* out = nullptr;
  FloatType type = FloatType::kFloat32;
  int64_t images = 0;
  int grid_height = 0;
  int grid_width = 0;
  int patch = 0;
  int64_t columns = 0;  // A multiple of kColumns, at least channels * patch^2.
  int channels = 3;     // At most 4.
  bool wide = false;    // 16 bits a value, else 8.
  float peak = 255;     // The largest value.
  float mean[4] = {0, 0, 0, 0};
  float std[4] = {1, 1, 1, 1};
};

// Enqueues on `stream` (a cudaStream_t): null, or the text of a CUDA error. Equals, bit for bit,
// the table of PatchesOfPixels (model/patches.h) in fp32.
const char* LaunchUnfoldPixels(const UnfoldPixels& args, void* stream);
// The same on host memory: for tests where there is no GPU.
void UnfoldPixelsOnHost(const UnfoldPixels& args);

// channels * patch^2 rounded up to a multiple of kColumns.
inline int64_t PatchColumns(int patch, int channels = 3) {
  const int64_t columns = int64_t{channels} * patch * patch;
  return (columns + kColumns - 1) / kColumns * kColumns;
}

// Chosen, not indexed: an index that is not constant puts a kernel's arguments into local memory.
IJEPA_HOST_DEVICE float OfChannel(const float (&values)[4], int channel) {
  return channel == 0 ? values[0] : channel == 1 ? values[1] : channel == 2 ? values[2] : values[3];
}

// The thread that writes the `index`-th eight columns.
template <typename T>
IJEPA_HOST_DEVICE void UnfoldPixelsThread(const UnfoldPixels& a, int64_t index) {
  const int64_t groups = a.columns / kColumns;
  const int64_t row = index / groups;
  const int first = static_cast<int>(index % groups) * kColumns;
  const int64_t grid = static_cast<int64_t>(a.grid_height) * a.grid_width;
  const int64_t image = row / grid;
  const int cell = static_cast<int>(row % grid);
  const int top = cell / a.grid_width * a.patch, left = cell % a.grid_width * a.patch;
  const int64_t stride = static_cast<int64_t>(a.grid_width) * a.patch;
  const int64_t plane = stride * a.grid_height * a.patch;
  const int area = a.patch * a.patch;
  float out[kColumns];
  for (int i = 0; i < kColumns; ++i) {
    const int column = first + i;
    out[i] = 0;
    if (column >= a.channels * area) continue;
    const int c = column / area, y = column % area / a.patch, x = column % a.patch;
    const int64_t at = (image * a.channels + c) * plane + (top + y) * stride + left + x;
    const int value = a.wide ? static_cast<const uint16_t*>(a.pixels)[at]
                             : static_cast<const uint8_t*>(a.pixels)[at];
    out[i] = (static_cast<float>(value) / a.peak - OfChannel(a.mean, c)) / OfChannel(a.std, c);
  }
  StoreEight(out, static_cast<T*>(a.out) + row * a.columns + first);
}

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_KERNELS_UNFOLD_PIXELS_H_
