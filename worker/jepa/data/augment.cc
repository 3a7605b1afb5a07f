// Draws happen in a fixed order, so that a view depends on its stream alone.
#include "worker/jepa/data/augment.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "worker/jepa/data/color.h"
#include "worker/jepa/data/decode.h"
#include "worker/jepa/data/random_crop.h"

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

void Mirror(Image& image) {
  for (int y = 0; y < image.height; ++y) {
    uint8_t* left = image.pixels.data() + static_cast<size_t>(y) * image.width * 3;
    uint8_t* right = left + static_cast<size_t>(image.width - 1) * 3;
    for (; left < right; left += 3, right -= 3) std::swap_ranges(left, left + 3, right);
  }
}

}  // namespace

void WriteTrainingView(const Image& image, const DataConfig& data, Philox& random,
                       uint8_t* planes) {
  const Crop crop = DrawCrop(image.height, image.width, data.crop_scale, random);
  Image view = CropAndResize(image, crop, data.crop_size, data.crop_size);
  const bool mirror = data.horizontal_flip && random.Uniform() < kFlipShare;
  if (!data.color_distortion && !data.gaussian_blur) {
    WritePlanes(view, mirror, planes);
    return;
  }
  if (mirror) Mirror(view);
  if (data.color_distortion) {
    if (random.Uniform() < kJitterShare) Jitter(data.color_jitter_strength, random, view);
    if (random.Uniform() < kGreyShare) ToGrey(view);
  }
  if (data.gaussian_blur && random.Uniform() < kBlurShare) {
    GaussianBlur(static_cast<float>(random.Uniform(kBlurRadius.low, kBlurRadius.high)), view);
  }
  WritePlanes(view, false, planes);
}

void WritePlanes(const Image& image, bool mirror, uint8_t* planes) {
  const size_t plane = static_cast<size_t>(image.height) * image.width;
  const uint8_t* in = image.pixels.data();
  for (int y = 0; y < image.height; ++y) {
    uint8_t* out = planes + static_cast<size_t>(y) * image.width;
    for (int x = 0; x < image.width; ++x, in += 3) {
      const int target = mirror ? image.width - 1 - x : x;
      out[target] = in[0];
      out[plane + target] = in[1];
      out[2 * plane + target] = in[2];
    }
  }
}

}  // namespace jepa
