// uint8 pixels to the rows of the patch-embedding product, normalised. No CUDA headers needed here.
#ifndef IJEPA_WORKER_JEPA_KERNELS_UNFOLD_PIXELS_H_
#define IJEPA_WORKER_JEPA_KERNELS_UNFOLD_PIXELS_H_

#include <cstdint>

#include "worker/jepa/kernels/element.h"

namespace jepa {

// pixels [images, 3, grid_height * patch, grid_width * patch] ->
// out [images * grid_height * grid_width, columns]: column (c, y, x) of a patch is
// (value / 255 - mean[c]) / std[c] in fp32, rounded to `type`; columns from 3 * patch^2 on are
// zeros. performance.md 3, row 11: bf16 products want rows of a multiple of eight.
struct UnfoldPixels {
  const uint8_t* pixels = nullptr;
  void* out = nullptr;
  FloatType type = FloatType::kFloat32;
  int64_t images = 0;
  int grid_height = 0;
  int grid_width = 0;
  int patch = 0;
  int64_t columns = 0;  // A multiple of kColumns, at least 3 * patch^2.
  float mean[3] = {0, 0, 0};
  float std[3] = {1, 1, 1};
};

// Enqueues on `stream` (a cudaStream_t): null, or the text of a CUDA error. Equals, bit for bit,
// the table of PatchesOfPixels (model/patches.h) in fp32.
const char* LaunchUnfoldPixels(const UnfoldPixels& args, void* stream);
// The same on host memory: for tests where there is no GPU.
void UnfoldPixelsOnHost(const UnfoldPixels& args);

// 3 * patch^2 rounded up to a multiple of kColumns.
inline int64_t PatchColumns(int patch) {
  const int64_t columns = int64_t{3} * patch * patch;
  return (columns + kColumns - 1) / kColumns * kColumns;
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
    if (column >= 3 * area) continue;
    const int c = column / area, y = column % area / a.patch, x = column % a.patch;
    const uint8_t value = a.pixels[(image * 3 + c) * plane + (top + y) * stride + left + x];
    out[i] = (static_cast<float>(value) / 255.0f - a.mean[c]) / a.std[c];
  }
  StoreEight(out, static_cast<T*>(a.out) + row * a.columns + first);
}

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_KERNELS_UNFOLD_PIXELS_H_
