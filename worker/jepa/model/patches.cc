// Patches; see patches.h.
#include "worker/jepa/model/patches.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "common/check.h"
#include "worker/jepa/kernels/unfold_pixels.h"
#include "worker/jepa/model/kernel_call.h"

namespace jepa {
namespace {

// What each value of each channel becomes.
using NormaliseTable = std::vector<std::vector<float>>;

float PeakOf(const ModelConfig& model) { return model.scale.bit_depth == 16 ? 65535.0f : 255.0f; }

NormaliseTable MakeNormaliseTable(const ModelConfig& model) {
  IJEPA_CHECK(model.scale.mean.size() == static_cast<size_t>(model.channels));
  const float peak = PeakOf(model);
  NormaliseTable table(static_cast<size_t>(model.channels));
  for (size_t c = 0; c < table.size(); ++c) {
    const auto mean = static_cast<float>(model.scale.mean[c]);
    const auto deviation = static_cast<float>(model.scale.std[c]);
    for (int value = 0; value <= static_cast<int>(peak); ++value) {
      table[c].push_back((static_cast<float>(value) / peak - mean) / deviation);
    }
  }
  return table;
}

// One image, planar, into its patch rows.
template <typename Value>
void UnfoldImage(const ModelConfig& model, const NormaliseTable& table, const Value* image,
                 float* out) {
  const int patch = model.patch_size;
  const int64_t stride = static_cast<int64_t>(model.grid_width) * patch;
  const int64_t plane = stride * model.grid_height * patch;
  for (int row = 0; row < model.grid_height; ++row) {
    for (int column = 0; column < model.grid_width; ++column) {
      for (int c = 0; c < model.channels; ++c) {
        const Value* source = image + c * plane + row * patch * stride + column * patch;
        const float* values = table[static_cast<size_t>(c)].data();
        for (int y = 0; y < patch; ++y, source += stride) {
          for (int x = 0; x < patch; ++x) *out++ = values[source[x]];
        }
      }
    }
  }
}

template <typename Value>
void UnfoldImages(const ModelConfig& model, const uint8_t* pixels, int64_t images, float* out) {
  const NormaliseTable table = MakeNormaliseTable(model);
  const int64_t size = int64_t{model.channels} * model.grid_height * model.grid_width *
                       model.patch_size * model.patch_size;
  const auto* values = reinterpret_cast<const Value*>(pixels);
  for (int64_t i = 0; i < images; ++i) {
    UnfoldImage(model, table, values + i * size, out + i * size);
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
  if (device.is_cpu()) {
    const at::Tensor out = at::empty({images * model.grid_height * model.grid_width,
                                      model.channels * model.patch_size * model.patch_size},
                                     at::kFloat);
    if (model.scale.bit_depth == 16) {
      UnfoldImages<uint16_t>(model, pixels, images, out.data_ptr<float>());
    } else {
      UnfoldImages<uint8_t>(model, pixels, images, out.data_ptr<float>());
    }
    return out;
  }
  return UnfoldedPixels(model, PixelsToDevice(model, pixels, images, device), at::kFloat);
}

at::Tensor PixelsToDevice(const ModelConfig& model, const uint8_t* pixels, int64_t images,
                          at::Device device, bool pin_memory) {
  const int64_t height = static_cast<int64_t>(model.grid_height) * model.patch_size;
  const int64_t width = static_cast<int64_t>(model.grid_width) * model.patch_size;
  const std::vector<int64_t> shape{images, model.channels, height, width};
  const auto type = at::TensorOptions().dtype(model.scale.bit_depth == 16 ? at::kShort : at::kByte);
  if (device.is_cuda() && !pin_memory) {
    return at::from_blob(const_cast<uint8_t*>(pixels), shape, type).to(device);
  }
  const at::Tensor host = at::empty(shape, type.pinned_memory(device.is_cuda()));
  std::memcpy(host.data_ptr(), pixels, host.nbytes());
  return host.to(device, /*non_blocking=*/true);
}

at::Tensor UnfoldedPixels(const ModelConfig& model, const at::Tensor& pixels, at::ScalarType type) {
  IJEPA_CHECK(model.scale.mean.size() == static_cast<size_t>(model.channels));
  const int64_t exact = int64_t{model.channels} * model.patch_size * model.patch_size;
  const int64_t rows = pixels.size(0) * model.grid_height * model.grid_width;
  UnfoldPixels args{.pixels = pixels.const_data_ptr(),
                    .images = pixels.size(0),
                    .grid_height = model.grid_height,
                    .grid_width = model.grid_width,
                    .patch = model.patch_size,
                    .columns = PatchColumns(model.patch_size, model.channels),
                    .channels = model.channels,
                    .wide = model.scale.bit_depth == 16,
                    .peak = PeakOf(model)};
  std::copy(model.scale.mean.begin(), model.scale.mean.end(), args.mean);
  std::copy(model.scale.std.begin(), model.scale.std.end(), args.std);
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
