// Draws happen in a fixed order, so that a view depends on its stream alone.
#include "worker/jepa/data/augment.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "common/status_macros.h"
#include "worker/jepa/data/color.h"
#include "worker/jepa/data/random_crop.h"
#include "worker/jepa/data/view_scale.h"
#include "worker/jepa/data/wide_resizer.h"

namespace jepa {
namespace {

constexpr double kFlipShare = 0.5;
constexpr double kJitterShare = 0.8;
constexpr double kGreyShare = 0.2;
constexpr double kBlurShare = 0.5;
constexpr Range kBlurRadius{0.1, 2.0};
// Of colour_jitter_strength.
constexpr double kLightStrength = 0.8;
constexpr double kHueStrength = 0.2;
constexpr double kMaxHueTurn = 0.5;

enum JitterStep { kBrightness, kContrast, kSaturation, kHue, kJitterSteps };

void Jitter(double strength, Philox& random, Image& image) {
  int order[kJitterSteps] = {kBrightness, kContrast, kSaturation, kHue};
  for (uint32_t i = kJitterSteps - 1; i > 0; --i) std::swap(order[i], order[random.Below(i + 1)]);
  const double light = kLightStrength * strength;
  const double turn = std::min(kHueStrength * strength, kMaxHueTurn);
  double amount[kJitterSteps];
  for (int step : {kBrightness, kContrast, kSaturation}) {
    amount[step] = random.Uniform(std::max(0.0, 1 - light), 1 + light);
  }
  amount[kHue] = random.Uniform(-turn, turn);
  for (int step : order) {
    const float factor = static_cast<float>(amount[step]);
    switch (step) {
      case kBrightness:
        AdjustBrightness(factor, image);
        break;
      case kContrast:
        AdjustContrast(factor, image);
        break;
      case kSaturation:
        AdjustSaturation(factor, image);
        break;
      default:
        AdjustHue(amount[kHue], image);
    }
  }
}

bool NeedsColours(const DataConfig& data) { return data.color_distortion || data.gaussian_blur; }

void Distort(const DataConfig& data, Philox& random, Image& view) {
  if (data.color_distortion) {
    if (random.Uniform() < kJitterShare) Jitter(data.color_jitter_strength, random, view);
    if (random.Uniform() < kGreyShare) ToGrey(view);
  }
  if (data.gaussian_blur && random.Uniform() < kBlurShare) {
    GaussianBlur(static_cast<float>(random.Uniform(kBlurRadius.low, kBlurRadius.high)), view);
  }
}

absl::StatusOr<Size> OpenImage(absl::string_view bytes, const DataConfig& data, ViewTools& tools) {
  tools.reader.set_orient(data.exif_orientation);
  tools.reader.set_format({data.channels, data.bit_depth});
  return tools.reader.Open(bytes);
}

absl::Status WriteView(const DataConfig& data, const ViewGeometry& view, ViewTools& tools,
                       uint8_t* planes) {
  if (data.bit_depth == 16) {
    ResizeWide(*tools.reader.whole(), view, planes);
    return absl::OkStatus();
  }
  return tools.reader.Read(tools.resizer.Begin(view, data.channels, planes), tools.resizer);
}

}  // namespace

absl::Status WriteTrainingView(absl::string_view bytes, const DataConfig& data, Philox& random,
                               ViewTools& tools, uint8_t* planes) {
  IJEPA_ASSIGN_OR_RETURN(const Size image, OpenImage(bytes, data, tools));
  const Size size = data.crop_size;
  const double aspect = static_cast<double>(size.width) / size.height;
  const Crop crop = DrawCrop(image, data.crop_scale, aspect, random);
  ViewGeometry view = CropGeometry(crop, size.height, size.width);
  view.mirror = data.horizontal_flip && random.Uniform() < kFlipShare;
  if (data.dct_scaling) {
    const int reduction = DctReduction(image, view);
    const Size reduced = tools.reader.Reduce(reduction);
    if (reduction > 1 && reduced.height < image.height) view = Reduced(view, reduction, reduced);
  }
  IJEPA_RETURN_IF_ERROR(WriteView(data, view, tools, planes));
  if (!NeedsColours(data)) return absl::OkStatus();
  Image pixels = Interleaved(planes, size);
  Distort(data, random, pixels);
  WritePlanes(pixels, planes);
  return absl::OkStatus();
}

absl::Status WriteProbeView(absl::string_view bytes, const DataConfig& data, ViewTools& tools,
                            uint8_t* planes) {
  IJEPA_ASSIGN_OR_RETURN(const Size image, OpenImage(bytes, data, tools));
  const ViewGeometry view = CentreGeometry(image, data.crop_size.height, data.crop_size.width);
  return WriteView(data, view, tools, planes);
}

size_t ViewBytes(const DataConfig& data) {
  return static_cast<size_t>(data.crop_size.height) * data.crop_size.width * data.channels *
         (data.bit_depth / 8);
}

Image Interleaved(const uint8_t* planes, const Size& size) {
  const size_t plane = static_cast<size_t>(size.height) * size.width;
  Image image{size.height, size.width, std::vector<uint8_t>(3 * plane)};
  uint8_t* out = image.pixels.data();
  for (size_t i = 0; i < plane; ++i, out += 3) {
    for (size_t c = 0; c < 3; ++c) out[c] = planes[c * plane + i];
  }
  return image;
}

void WritePlanes(const Image& image, uint8_t* planes) {
  const size_t plane = static_cast<size_t>(image.height) * image.width;
  const uint8_t* in = image.pixels.data();
  for (size_t i = 0; i < plane; ++i, in += 3) {
    for (size_t c = 0; c < 3; ++c) planes[c * plane + i] = in[c];
  }
}

}  // namespace jepa
