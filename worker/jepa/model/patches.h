// From pixels to the rows of the patch-embedding GEMM: [B * N, channels * patch * patch], patch
// row-major over the grid, columns (channel, row, column) as in the published Conv2d weight.
#ifndef IJEPA_WORKER_JEPA_MODEL_PATCHES_H_
#define IJEPA_WORKER_JEPA_MODEL_PATCHES_H_

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "worker/jepa/config.h"

namespace jepa {

// images: normalised fp32 [B, channels, H, W]. Copies.
at::Tensor PatchesOfImages(const ModelConfig& model, const at::Tensor& images);

// pixels: uint8 [B, 3, H, W] on the host; normalised by (x / 255 - mean) / std of data/image.h, the
// same bits on CPU and CUDA. The result is on `device`.
at::Tensor PatchesOfPixels(const ModelConfig& model, const uint8_t* pixels, int64_t images,
                           at::Device device);

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_MODEL_PATCHES_H_
