// The resize against a slow one written from its definition, and the deterministic view.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "tests/data/test_data.h"
#include "worker/jepa/data/augment.h"
#include "worker/jepa/data/decode.h"
#include "worker/jepa/data/resize_kernels.h"
#include "worker/jepa/data/view_resizer.h"
#include "worker/jepa/plan/random.h"

namespace jepa {
namespace {

// One axis of one line of bytes, each output pixel from all inputs.
std::vector<uint8_t> ResizeLine(const std::vector<uint8_t>& in, int out_size) {
  const int size = static_cast<int>(in.size());
  if (size == out_size) return in;
  const double scale = static_cast<double>(size) / out_size;
  const double support = std::max(scale, 1.0);
  std::vector<uint8_t> out;
  for (int x = 0; x < out_size; ++x) {
    const double centre = (x + 0.5) * scale;
    std::vector<double> shares(in.size());
    double total = 0;
    for (int k = std::max(static_cast<int>(centre - support + 0.5), 0);
         k < std::min(static_cast<int>(centre + support + 0.5), size); ++k) {
      shares[k] = std::max(1 - std::abs((k - centre + 0.5) / support), 0.0);
      total += shares[k];
    }
    int64_t sum = 1 << 21;
    for (int k = 0; k < size; ++k) {
      sum += static_cast<int64_t>(std::floor(shares[k] / total * (1 << 22) + 0.5)) * in[k];
    }
    out.push_back(static_cast<uint8_t>(std::min<int64_t>(sum >> 22, 255)));
  }
  return out;
}

Image ResizeRows(const Image& image, int width) {
  Image out{image.height, width,
            std::vector<uint8_t>(static_cast<size_t>(image.height) * width * 3)};
  for (int y = 0; y < image.height; ++y) {
    for (int c = 0; c < 3; ++c) {
      std::vector<uint8_t> line;
      for (int x = 0; x < image.width; ++x) {
        line.push_back(image.pixels[(static_cast<size_t>(y) * image.width + x) * 3 + c]);
      }
      line = ResizeLine(line, width);
      for (int x = 0; x < width; ++x) {
        out.pixels[(static_cast<size_t>(y) * width + x) * 3 + c] = line[x];
      }
    }
  }
  return out;
}

Image Turned(const Image& image) {
  Image out{image.width, image.height, std::vector<uint8_t>(image.pixels.size())};
  for (int y = 0; y < image.height; ++y) {
    for (int x = 0; x < image.width; ++x) {
      for (int c = 0; c < 3; ++c) {
        out.pixels[(static_cast<size_t>(x) * image.height + y) * 3 + c] =
            image.pixels[(static_cast<size_t>(y) * image.width + x) * 3 + c];
      }
    }
  }
  return out;
}

Image SlowResize(const Image& image, int height, int width) {
  const bool down_first = image.height - height > 2 * std::max(image.width - width, 0);
  if (down_first) return ResizeRows(Turned(ResizeRows(Turned(image), height)), width);
  return Turned(ResizeRows(Turned(ResizeRows(image, width)), height));
}

Image Cut(const Image& image, Crop crop) {
  Image out{crop.height, crop.width, {}};
  for (int y = 0; y < crop.height; ++y) {
    const auto row =
        image.pixels.begin() + ((static_cast<int64_t>(crop.top) + y) * image.width + crop.left) * 3;
    out.pixels.insert(out.pixels.end(), row, row + static_cast<int64_t>(crop.width) * 3);
  }
  return out;
}

Image Noise(int height, int width, Philox& random) {
  Image image{height, width, std::vector<uint8_t>(static_cast<size_t>(height) * width * 3)};
  for (uint8_t& value : image.pixels) value = static_cast<uint8_t>(random.Next());
  return image;
}

TEST(ResizeTest, EqualsTheDefinitionForAnySizes) {
  Philox random(1, Purpose::kProbe, 0, 0);
  for (int round = 0; round < 300; ++round) {
    const auto side = [&](uint32_t most) { return static_cast<int>(1 + random.Below(most)); };
    const Image image = Noise(side(70), side(70), random);
    Crop crop{0, 0, side(image.height), side(image.width)};
    crop.top = static_cast<int>(random.Below(image.height - crop.height + 1));
    crop.left = static_cast<int>(random.Below(image.width - crop.width + 1));
    const int height = side(50), width = side(50);
    const Image view = CropAndResize(image, crop, height, width);
    ASSERT_EQ(view.height, height);
    ASSERT_EQ(view.width, width);
    ASSERT_EQ(view.pixels, SlowResize(Cut(image, crop), height, width).pixels)
        << crop.height << "x" << crop.width << " to " << height << "x" << width;
  }
}

// Rows of random bytes through `kernels` and the plain ones, in every order of passes.
void ExpectAsPlain(const ResizeKernels& kernels) {
  Philox random(3, Purpose::kProbe, 0, 0);
  ViewResizer plain(PlainResizeKernels());
  ViewResizer best(kernels);
  for (int round = 0; round < 400; ++round) {
    const auto side = [&](uint32_t most) { return static_cast<int>(1 + random.Below(most)); };
    const Image image = Noise(side(90), side(90), random);
    ViewGeometry view =
        CropGeometry({0, 0, image.height, image.width}, side(100), side(round % 2 == 0 ? 9 : 100));
    view.mirror = round % 3 == 0;
    const int channels = round % 5 == 0 ? 1 : 3;
    std::vector<uint8_t> expected(static_cast<size_t>(view.height) * view.width * channels);
    std::vector<uint8_t> planes(expected.size());
    plain.Begin(view, channels, expected.data());
    const Crop part = best.Begin(view, channels, planes.data());
    std::vector<uint8_t> row(static_cast<size_t>(image.width) * channels + kRowPadding, 0xff);
    for (int y = part.top; y < part.top + part.height; ++y) {
      std::copy_n(image.pixels.begin() + (y * image.width + part.left) * channels,
                  part.width * channels, row.begin());
      plain.Row(row.data());
      best.Row(row.data());
    }
    ASSERT_EQ(planes, expected) << image.height << "x" << image.width << " to " << view.height
                                << "x" << view.width << ", channels " << channels;
  }
}

TEST(ResizeTest, KernelsOfThisMachineEqualThePlainOnes) {
  for (const ResizeKernels* kernels : {Avx2ResizeKernels(), Avx512ResizeKernels()}) {
    if (kernels != nullptr) ExpectAsPlain(*kernels);
  }
}

TEST(ResizeTest, MirrorsTheView) {
  const Image image = testing::TestImage(37, 53, 4);
  ViewGeometry view = CropGeometry({2, 3, 30, 41}, 20, 21);
  const Image plain = CropAndResize(image, view.crop, 20, 21);
  view.mirror = true;
  std::vector<uint8_t> planes(20 * 21 * 3);
  ViewResizer resizer;
  const Crop part = resizer.Begin(view, 3, planes.data());
  std::vector<uint8_t> row(53 * 3 + kRowPadding);
  for (int y = part.top; y < part.top + part.height; ++y) {
    std::copy_n(image.pixels.begin() + (y * 53 + part.left) * 3, part.width * 3, row.begin());
    resizer.Row(row.data());
  }
  const Image mirrored = Interleaved(planes.data(), {20, 21});
  for (int y = 0; y < 20; ++y) {
    for (int x = 0; x < 21; ++x) {
      for (int c = 0; c < 3; ++c) {
        ASSERT_EQ(mirrored.pixels[(y * 21 + x) * 3 + c], plain.pixels[(y * 21 + 20 - x) * 3 + c]);
      }
    }
  }
}

TEST(ResizeTest, DeterministicViewIsTheMiddleOfTheResizedImage) {
  Philox random(2, Purpose::kProbe, 0, 0);
  for (const auto& [height, width] : std::vector<std::pair<int, int>>{
           {40, 40}, {40, 61}, {61, 40}, {9, 30}, {100, 21}, {16, 16}}) {
    constexpr int kSize = 16;
    const Image image = Noise(height, width, random);
    const int tall = height <= width ? kSize : kSize * height / width;
    const int wide = width <= height ? kSize : kSize * width / height;
    const Crop middle{static_cast<int>(std::nearbyint((tall - kSize) / 2.0)),
                      static_cast<int>(std::nearbyint((wide - kSize) / 2.0)), kSize, kSize};
    EXPECT_EQ(ResizeAndCentreCrop(image, {kSize, kSize}).pixels,
              Cut(SlowResize(image, tall, wide), middle).pixels)
        << height << "x" << width;
  }
}

TEST(ResizeTest, DeterministicViewCoversARectangle) {
  Philox random(3, Purpose::kProbe, 0, 0);
  const Image image = Noise(60, 90, random);
  // Twice as wide as high: the width is the tight side.
  EXPECT_EQ(ResizeAndCentreCrop(image, {16, 32}).pixels,
            Cut(SlowResize(image, 21, 32), {2, 0, 16, 32}).pixels);
  // Taller than wide: the height is.
  EXPECT_EQ(ResizeAndCentreCrop(image, {20, 10}).pixels,
            Cut(SlowResize(image, 20, 30), {0, 10, 20, 10}).pixels);
}

TEST(ResizeTest, HandlesExtremeShapes) {
  Image line{1, 3'000'000, std::vector<uint8_t>(9'000'000, 77)};
  const Image view = ResizeAndCentreCrop(line, {32, 32});
  EXPECT_EQ(view.pixels, std::vector<uint8_t>(32 * 32 * 3, 77));
  std::swap(line.height, line.width);
  EXPECT_EQ(ResizeAndCentreCrop(line, {32, 32}).pixels, view.pixels);
}

}  // namespace
}  // namespace jepa
