// Patches; see patches.h.
#include "worker/jepa/model/patches.h"

#include <ATen/ATen.h>

#include <array>

#include "common/check.h"
#include "worker/jepa/data/image.h"

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
  const at::Tensor host =
      at::from_blob(const_cast<uint8_t*>(pixels), {images, 3, height, width}, at::kByte);
  const auto constants = [&](const float(&values)[3]) {
    return at::tensor(at::ArrayRef<float>(values)).view({1, 3, 1, 1}).to(device);
  };
  const at::Tensor scaled = host.to(device).to(at::kFloat).div_(255.0);
  return Unfold(model, scaled.sub_(constants(kImageMean)).div_(constants(kImageStd)));
}

}  // namespace jepa
