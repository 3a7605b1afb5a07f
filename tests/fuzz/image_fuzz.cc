// Any bytes as an image file: opened, oriented, cropped and resized. The first two bytes choose the
// window and the options.
#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/strings/string_view.h"
#include "worker/jepa/data/augment.h"
#include "worker/jepa/plan/random.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  static jepa::ViewTools tools;  // As a thread of the loader keeps them.
  jepa::DataConfig config;
  const int side = 1 + data[0] % 64;
  config.crop_size = {side, side};
  config.exif_orientation = (data[1] & 1) != 0;
  config.horizontal_flip = (data[1] & 2) != 0;
  config.color_distortion = (data[1] & 4) != 0;
  config.color_jitter_strength = 1;
  config.gaussian_blur = (data[1] & 8) != 0;
  config.dct_scaling = (data[1] & 16) != 0;
  if ((data[1] & 32) != 0) {  // PNG as it is.
    config.channels = 1 + data[1] / 64;
    config.bit_depth = (data[1] & 1) != 0 ? 16 : 8;
    config.color_distortion = config.gaussian_blur = false;
  }
  jepa::Philox random(data[1], jepa::Purpose::kCrop, 0, data[0]);
  std::vector<uint8_t> planes(jepa::ViewBytes(config));
  const absl::string_view bytes(reinterpret_cast<const char*>(data) + 2, size - 2);
  // A few bytes can ask for an image of half a gigabyte, which only costs time here.
  jepa::ImageReader reader;
  const auto image = reader.Open(bytes.substr(0, 4096));
  if (image.ok() && int64_t{image->height} * image->width > (1 << 22)) return 0;
  (void)jepa::WriteTrainingView(bytes, config, random, tools, planes.data());
  return 0;
}
