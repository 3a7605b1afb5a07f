// Patches; see patches.h.
#include "worker/jepa/model/patches.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "common/check.h"
#include "worker/jepa/data/image.h"
#include "worker/jepa/kernels/unfold_pixels.h"
#include "worker/jepa/model/kernel_call.h"

namespace jepa {
namespace {

using NormaliseTable = std::array<std::array<float, 256>, 3>;

NormaliseTable MakeNormaliseTable() {
  NormaliseTable table;
  for (int c = 0; c < 3; ++c) {
    for (int value = 0; value < 256; ++value) {
      table[c][value] = (static_cast<float>(value) / 255.0f - kImageMean[c]) / kImageStd[c];
    }
  }
  return table;
}

// One image, planar uint8, into its patch rows.
void UnfoldImage(const ModelConfig& model, const NormaliseTable& table, const uint8_t* image,
                 float* out) {
  const int patch = model.patch_size;
  const int64_t stride = static_cast<int64_t>(model.grid_width) * patch;
  const int64_t plane = stride * model.grid_height * patch;
  for (int row = 0; row < model.grid_height; ++row) {
    for (int column = 0; column < model.grid_width; ++column) {
      for (int c = 0; c < 3; ++c) {
        const uint8_t* source = image + c * plane + row * patch * stride + column * patch;
        for (int y = 0; y < patch; ++y, source += stride) {
          for (int x = 0; x < patch; ++x) *out++ = table[c][source[x]];
        }
      }
    }
  }
}

at::Tensor Unfold(const ModelConfig& model, const at::Tensor& images) {
  const int64_t patch = model.patch_size;
  return images
      .view({images.size(0), model.channels, model.grid_height, patch, model.grid_width, patch})
      .permute({0, 2, 4, 1, 3, 5})
      .reshape({-1, model.channels * patch * patch});
}

}  // namespace

at::Tensor PatchesOfImages(const ModelConfig& model, const at::Tensor& images) {
  return Unfold(model, images);
}

at::Tensor PatchesOfPixels(const ModelConfig& model, const uint8_t* pixels, int64_t images,
                           at::Device device) {
  IJEPA_CHECK(model.channels == 3);
  const int64_t height = static_cast<int64_t>(model.grid_height) * model.patch_size;
  const int64_t width = static_cast<int64_t>(model.grid_width) * model.patch_size;
  if (device.is_cpu()) {
    static const NormaliseTable kTable = MakeNormaliseTable();
    const at::Tensor out = at::empty({images * model.grid_height * model.grid_width,
                                      model.channels * model.patch_size * model.patch_size},
                                     at::kFloat);
    const int64_t image_size = 3 * height * width;
    for (int64_t i = 0; i < images; ++i) {
      UnfoldImage(model, kTable, pixels + i * image_size, out.data_ptr<float>() + i * image_size);
    }
    return out;
  }
  return UnfoldedPixels(model, PixelsToDevice(model, pixels, images, device), at::kFloat);
}

at::Tensor PixelsToDevice(const ModelConfig& model, const uint8_t* pixels, int64_t images,
                          at::Device device) {
  const int64_t height = static_cast<int64_t>(model.grid_height) * model.patch_size;
  const int64_t width = static_cast<int64_t>(model.grid_width) * model.patch_size;
  const at::Tensor host =
      at::empty({images, 3, height, width},
                at::TensorOptions().dtype(at::kByte).pinned_memory(device.is_cuda()));
  std::memcpy(host.data_ptr<uint8_t>(), pixels, static_cast<size_t>(host.numel()));
  return host.to(device, /*non_blocking=*/true);
}

at::Tensor UnfoldedPixels(const ModelConfig& model, const at::Tensor& pixels, at::ScalarType type) {
  const int64_t exact = int64_t{3} * model.patch_size * model.patch_size;
  const int64_t rows = pixels.size(0) * model.grid_height * model.grid_width;
  UnfoldPixels args{.pixels = pixels.const_data_ptr<uint8_t>(),
                    .images = pixels.size(0),
                    .grid_height = model.grid_height,
                    .grid_width = model.grid_width,
                    .patch = model.patch_size,
                    .columns = PatchColumns(model.patch_size)};
  std::copy(std::begin(kImageMean), std::end(kImageMean), args.mean);
  std::copy(std::begin(kImageStd), std::end(kImageStd), args.std);
  const at::Tensor out = at::empty({rows, args.columns}, pixels.options().dtype(type));
  args.out = out.data_ptr();
  args.type = TypeOf(out);
  if (pixels.is_cuda()) {
    CheckLaunch(LaunchUnfoldPixels(args, StreamOf(pixels)), "unfold_pixels");
  } else {
    UnfoldPixelsOnHost(args);
  }
  return type == at::kFloat && exact != args.columns ? out.narrow(1, 0, exact).contiguous() : out;
}

}  // namespace jepa
