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

// pixels: [B, channels, H, W] of model.scale.bit_depth bits on the host; normalised by model.scale,
// the same bits on CPU and CUDA. The result is fp32 on `device`.
at::Tensor PatchesOfPixels(const ModelConfig& model, const uint8_t* pixels, int64_t images,
                           at::Device device);

// The same from pixels that are on the device already, in fp32 or bf16; bf16 rows are padded
// with zeros to PatchColumns (kernels/unfold_pixels.h). On a CPU by the kernel's twin.
at::Tensor UnfoldedPixels(const ModelConfig& model, const at::Tensor& pixels, at::ScalarType type);

// Pixels on the way to the device; `pixels` is free again when this returns. With pin_memory
// (data.pin_mem) by way of page-locked memory, and the host waits for nothing: the host's caching
// allocator gives a block again only after its copy ended, so that as many are in use as copies are
// under way. The loader's slots are not page-locked themselves, as each would have to be kept until
// its copy ended. Without, straight from `pixels`: the host waits until they are on the device, and
// so for what was enqueued before. No matter on a CPU.
at::Tensor PixelsToDevice(const ModelConfig& model, const uint8_t* pixels, int64_t images,
                          at::Device device, bool pin_memory = true);

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_MODEL_PATCHES_H_
