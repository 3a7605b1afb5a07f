// Per-pixel colour arithmetic in the widths (float, byte) that Pillow computes in.
#include "worker/jepa/data/color.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

namespace jepa {
namespace {

uint8_t ClipToByte(int value) { return static_cast<uint8_t>(std::clamp(value, 0, 255)); }

uint8_t Luma(const uint8_t* rgb) {
  return static_cast<uint8_t>((rgb[0] * 19595 + rgb[1] * 38470 + rgb[2] * 7471 + 0x8000) >> 16);
}

// from + factor * (to - from), cut to a byte; beyond [0, 1] it extrapolates.
uint8_t Blend(int from, int to, float factor) {
  const float value = static_cast<float>(from) + factor * static_cast<float>(to - from);
  return static_cast<uint8_t>(std::clamp(value, 0.0f, 255.0f));
}

struct Hsv {
  uint8_t hue, saturation, value;
};

Hsv ToHsv(const uint8_t* rgb) {
  const int r = rgb[0], g = rgb[1], b = rgb[2];
  const int high = std::max({r, g, b});
  const int low = std::min({r, g, b});
  if (high == low) return {0, 0, static_cast<uint8_t>(high)};
  const float span = static_cast<float>(high - low);
  const float saturation = span / static_cast<float>(high);
  const float from_red = static_cast<float>(high - r) / span;
  const float from_green = static_cast<float>(high - g) / span;
  const float from_blue = static_cast<float>(high - b) / span;
  float hue;
  if (r == high) {
    hue = from_blue - from_green;
  } else if (g == high) {
    hue = static_cast<float>(2.0 + from_red - from_blue);
  } else {
    hue = static_cast<float>(4.0 + from_green - from_red);
  }
  hue = static_cast<float>(std::fmod(hue / 6.0 + 1.0, 1.0));
  return {ClipToByte(static_cast<int>(hue * 255.0)),
          ClipToByte(static_cast<int>(saturation * 255.0)), static_cast<uint8_t>(high)};
}

void FromHsv(Hsv hsv, uint8_t* rgb) {
  const uint8_t v = hsv.value;
  if (hsv.saturation == 0) {
    std::fill(rgb, rgb + 3, v);
    return;
  }
  const double sixth = static_cast<double>(static_cast<float>(hsv.hue)) * 6.0 / 255.0;
  const int sector = static_cast<int>(std::floor(sixth));
  const float part = static_cast<float>(sixth - static_cast<double>(static_cast<float>(sector)));
  const float saturation = static_cast<float>(static_cast<float>(hsv.saturation) / 255.0);
  const auto shade = [v](double share) {
    return ClipToByte(static_cast<int>(std::round(static_cast<double>(v) * (1.0 - share))));
  };
  const uint8_t p = shade(saturation);
  const uint8_t q = shade(static_cast<double>(saturation * part));
  const uint8_t t = shade(saturation * (1.0 - part));
  const uint8_t table[6][3] = {{v, t, p}, {q, v, p}, {p, v, t}, {p, q, v}, {t, p, v}, {v, p, q}};
  std::copy(table[sector % 6], table[sector % 6] + 3, rgb);
}

template <typename Function>
void ForEachPixel(Image& image, const Function& function) {
  for (size_t i = 0; i < image.pixels.size(); i += 3) function(image.pixels.data() + i);
}

// A box of width 2 * radius + 1 with two partly covered pixels at its ends, in 1/2^24.
struct Box {
  int radius = 0;
  uint32_t whole = 0;  // Weight of each covered pixel.
  uint32_t part = 0;   // Weight of each end.
};

Box MakeBox(float float_radius) {
  Box box;
  box.radius = static_cast<int>(float_radius);
  box.whole = static_cast<uint32_t>((1 << 24) / (float_radius * 2 + 1));
  box.part = ((1 << 24) - (static_cast<uint32_t>(box.radius) * 2 + 1) * box.whole) / 2;
  return box;
}

// Width of the box whose `passes` repetitions have standard deviation `sigma`.
float BoxRadius(float sigma, int passes) {
  const float variance = sigma * sigma / static_cast<float>(passes);
  const float length = static_cast<float>(std::sqrt(12.0 * variance + 1.0));
  const float whole = static_cast<float>(std::floor((length - 1.0) / 2.0));
  float part = (2 * whole + 1) * (whole * (whole + 1) - 3 * variance);
  part /= 6 * (variance - (whole + 1) * (whole + 1));
  return whole + part;
}

// Blurs one line of `length` RGB pixels; outside it the edge pixels go on.
void BoxBlurLine(const Box& box, const uint8_t* in, int length, uint8_t* out) {
  const auto at = [in, length](int x, int c) -> uint32_t {
    return in[static_cast<size_t>(std::clamp(x, 0, length - 1)) * 3 + c];
  };
  for (int c = 0; c < 3; ++c) {
    uint32_t covered = 0;
    for (int x = -box.radius; x <= box.radius; ++x) covered += at(x, c);
    for (int x = 0; x < length; ++x) {
      const uint32_t ends = at(x - box.radius - 1, c) + at(x + box.radius + 1, c);
      const uint32_t sum = covered * box.whole + ends * box.part;
      out[static_cast<size_t>(x) * 3 + c] = static_cast<uint8_t>((sum + (1u << 23)) >> 24);
      covered += at(x + box.radius + 1, c) - at(x - box.radius, c);
    }
  }
}

Image Transposed(const Image& image) {
  Image result{image.width, image.height, std::vector<uint8_t>(image.pixels.size())};
  for (int y = 0; y < image.height; ++y) {
    for (int x = 0; x < image.width; ++x) {
      const uint8_t* from = image.pixels.data() + (static_cast<size_t>(y) * image.width + x) * 3;
      std::copy(from, from + 3,
                result.pixels.data() + (static_cast<size_t>(x) * image.height + y) * 3);
    }
  }
  return result;
}

void BlurRows(const Box& box, int passes, Image& image) {
  const size_t row_bytes = static_cast<size_t>(image.width) * 3;
  std::vector<uint8_t> line(row_bytes);
  for (int y = 0; y < image.height; ++y) {
    uint8_t* row = image.pixels.data() + row_bytes * y;
    for (int pass = 0; pass < passes; ++pass) {
      std::copy(row, row + row_bytes, line.data());
      BoxBlurLine(box, line.data(), image.width, row);
    }
  }
}

}  // namespace

void AdjustBrightness(float factor, Image& image) {
  for (uint8_t& value : image.pixels) value = Blend(0, value, factor);
}

void AdjustContrast(float factor, Image& image) {
  uint64_t sum = 0;
  ForEachPixel(image, [&sum](const uint8_t* rgb) { sum += Luma(rgb); });
  const double mean = static_cast<double>(sum) / (static_cast<double>(image.pixels.size()) / 3);
  const int grey = static_cast<int>(mean + 0.5);
  for (uint8_t& value : image.pixels) value = Blend(grey, value, factor);
}

void AdjustSaturation(float factor, Image& image) {
  ForEachPixel(image, [factor](uint8_t* rgb) {
    const int grey = Luma(rgb);
    for (int c = 0; c < 3; ++c) rgb[c] = Blend(grey, rgb[c], factor);
  });
}

void AdjustHue(double turn, Image& image) {
  const auto shift = static_cast<uint8_t>(static_cast<int>(turn * 255));
  ForEachPixel(image, [shift](uint8_t* rgb) {
    Hsv hsv = ToHsv(rgb);
    hsv.hue = static_cast<uint8_t>(hsv.hue + shift);
    FromHsv(hsv, rgb);
  });
}

void ToGrey(Image& image) {
  ForEachPixel(image, [](uint8_t* rgb) { std::fill(rgb, rgb + 3, Luma(rgb)); });
}

void GaussianBlur(float radius, Image& image) {
  constexpr int kPasses = 3;
  if (radius <= 0 || image.pixels.empty()) return;
  const Box box = MakeBox(BoxRadius(radius, kPasses));
  BlurRows(box, kPasses, image);
  image = Transposed(image);
  BlurRows(box, kPasses, image);
  image = Transposed(image);
}

}  // namespace jepa
