// Formats besides RGB of 8 bits: PNG as it is, WebP, large JPEGs decoded small; figures of Pillow
// in pillow_figures.json.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>

#include "absl/strings/escaping.h"
#include "tests/data/test_data.h"
#include "tests/fakes/memory_host.h"
#include "worker/jepa/data/augment.h"
#include "worker/jepa/data/bad_image.h"
#include "worker/jepa/data/codec.h"
#include "worker/jepa/data/loader.h"
#include "worker/jepa/data/view_scale.h"
#include "worker/jepa/data/wide_resizer.h"

namespace jepa {
namespace {

using ::testing::HasSubstr;

nlohmann::json Figures() {
  return nlohmann::json::parse(std::ifstream("tests/data/pillow_figures.json"));
}

template <typename Bytes>
uint32_t Crc32(const Bytes& bytes) {
  return static_cast<uint32_t>(
      crc32(0, reinterpret_cast<const Bytef*>(bytes.data()), static_cast<uInt>(bytes.size())));
}

// As `values` of pillow_figures.py.
int PixelValue(const PixelFormat& format, int y, int x, int c) {
  const int wide = (x * 2731 + y * 977 + c * 12345 + x * y % 7919 * 8) % 65536;
  return format.bit_depth == 16 ? wide : wide / 256;
}

std::string PatternPng(const PixelFormat& format, int height, int width) {
  constexpr int kColourTypes[] = {0, 4, 2, 6};
  testing::PngParts parts;
  parts.height = height;
  parts.width = width;
  parts.depth = format.bit_depth;
  parts.colour_type = kColourTypes[format.channels - 1];
  for (int y = 0; y < height; ++y) {
    std::vector<uint8_t> row;
    for (int x = 0; x < width; ++x) {
      for (int c = 0; c < format.channels; ++c) {
        const int value = PixelValue(format, y, x, c);
        if (format.bit_depth == 16) row.push_back(static_cast<uint8_t>(value >> 8));
        row.push_back(static_cast<uint8_t>(value));
      }
    }
    parts.rows.push_back(std::move(row));
  }
  return testing::TestPng(std::move(parts));
}

// The view as a job makes it, without chance.
std::vector<uint8_t> ViewOf(const std::string& file, const PixelFormat& format,
                            const ViewGeometry& view) {
  ImageReader reader;
  reader.set_format(format);
  const auto size = reader.Open(file);
  EXPECT_TRUE(size.ok()) << size.status();
  std::vector<uint8_t> planes(static_cast<size_t>(view.height) * view.width * format.pixel_bytes());
  if (format.bit_depth == 16) {
    ResizeWide(*reader.whole(), view, planes.data());
  } else {
    ViewResizer resizer;
    EXPECT_TRUE(reader.Read(resizer.Begin(view, format.channels, planes.data()), resizer).ok());
  }
  return planes;
}

TEST(FormatsTest, ResizesEveryChannelAndDepthAsPillowDoes) {
  int compared = 0;
  const nlohmann::json figures = Figures();
  for (const auto& figure : figures["views"]) {
    const PixelFormat format{figure["channels"], figure["bits"]};
    const auto& crop = figure["crop"];
    const auto& resized = figure["resized"];
    const ViewGeometry view =
        CropGeometry({crop[0], crop[1], crop[2], crop[3]}, resized[0], resized[1]);
    const std::string png = PatternPng(format, figure["size"][0], figure["size"][1]);
    EXPECT_EQ(Crc32(ViewOf(png, format, view)), figure["crc32"].get<uint32_t>()) << figure;
    ++compared;
  }
  EXPECT_GE(compared, 10);
}

TEST(FormatsTest, MirrorsWideViews) {
  const PixelFormat format{2, 16};
  const std::string png = PatternPng(format, 30, 40);
  ViewGeometry view = CropGeometry({0, 0, 30, 40}, 12, 10);
  const std::vector<uint8_t> plain = ViewOf(png, format, view);
  view.mirror = true;
  const std::vector<uint8_t> mirrored = ViewOf(png, format, view);
  for (int row = 0; row < 24; ++row) {
    for (int x = 0; x < 10; ++x) {
      EXPECT_EQ(0, std::memcmp(&plain[(row * 10 + x) * 2], &mirrored[(row * 10 + 9 - x) * 2], 2));
    }
  }
}

TEST(FormatsTest, RefusesOtherChannelsAndDepthsByNumber) {
  const auto refusal = [](const std::string& file, const PixelFormat& format) {
    ImageReader reader;
    reader.set_format(format);
    const auto size = reader.Open(file);
    EXPECT_TRUE(absl::IsDataLoss(size.status())) << size.status();
    return std::string(size.status().message());
  };
  EXPECT_THAT(refusal(PatternPng({3, 8}, 4, 4), {4, 8}),
              HasSubstr("has 3 channels of 8 bits; data.channels is 4 and data.bit_depth 8"));
  EXPECT_THAT(refusal(PatternPng({1, 8}, 4, 4), {1, 16}), HasSubstr("has 1 channels of 8 bits"));
  EXPECT_THAT(refusal(PatternPng({1, 16}, 4, 4), {1, 8}), HasSubstr("has 1 channels of 16 bits"));
  EXPECT_THAT(refusal(testing::TestJpeg(8, 8, 1), {1, 8}), HasSubstr("no PNG"));
}

TEST(FormatsTest, BatchesHoldWideValuesOfEveryChannel) {
  std::vector<std::string> files;
  for (int i = 0; i < 6; ++i) files.push_back(PatternPng({2, 16}, 20 + i, 30));
  files.push_back(PatternPng({2, 8}, 20, 30));
  const testing::MemorySource source(files);
  MemoryRendezvous rendezvous;
  MemoryHost host(rendezvous);
  LoaderOptions options;
  options.data.batch_size = 7;
  options.data.crop_size = {16, 16};
  options.data.channels = 2;
  options.data.bit_depth = 16;
  options.data.crop_scale = {1, 1};
  options.data.max_bad_fraction = 1;
  options.local_shards = {0};
  options.last_step = 1;
  const auto loader = NewLoader(options, source, host);
  const auto batch = loader->Next();
  ASSERT_TRUE(batch.ok()) << batch.status();
  EXPECT_EQ(batch->pixels.size(), 7u * 2 * 16 * 16 * 2);
  EXPECT_EQ(loader->stats().bad_images, 1);
  uint16_t largest = 0;
  for (size_t at = 0; at < batch->pixels.size(); at += 2) {
    uint16_t value;
    std::memcpy(&value, batch->pixels.data() + at, sizeof(value));
    largest = std::max(largest, value);
  }
  EXPECT_GT(largest, 40'000);
}

std::string WebpFile(const nlohmann::json& figure) {
  std::string file;
  EXPECT_TRUE(absl::Base64Unescape(figure["file"].get<std::string>(), &file));
  return file;
}

bool BuildReadsWebp() {
  const std::string message(DecodeWebp("RIFF....WEBP").status().message());
  return message.find("this build does not read") == std::string::npos;
}

TEST(FormatsTest, DecodesWebpAsPillowDoesAndRefusesAnimations) {
  if (!BuildReadsWebp()) GTEST_SKIP() << "built without libwebp";
  int compared = 0;
  const nlohmann::json figures = Figures();
  for (const auto& figure : figures["webp"]) {
    const auto image = Decode(WebpFile(figure));
    if (figure["name"] == "animation") {
      EXPECT_TRUE(absl::IsDataLoss(image.status()));
      EXPECT_THAT(std::string(image.status().message()), HasSubstr("is an animation"));
      continue;
    }
    ASSERT_TRUE(image.ok()) << figure["name"] << image.status();
    EXPECT_EQ(image->height, figure["size"][0].get<int>());
    EXPECT_EQ(image->width, figure["size"][1].get<int>());
    EXPECT_EQ(Crc32(image->pixels), figure["crc32"].get<uint32_t>()) << figure["name"];
    ++compared;
  }
  EXPECT_EQ(compared, 4);
}

TEST(FormatsTest, NamesWhatIsWrongWithABadWebp) {
  if (!BuildReadsWebp()) GTEST_SKIP() << "built without libwebp";
  const std::string file = WebpFile(Figures()["webp"][0]);
  const auto cut = Decode(file.substr(0, file.size() / 2));
  EXPECT_EQ(BadReasonOf(cut.status(), false), BadReason::kTruncated) << cut.status();
  std::string damaged = file;
  std::fill(damaged.begin() + 12, damaged.begin() + 40, '\x55');
  const auto corrupt = Decode(damaged);
  EXPECT_EQ(BadReasonOf(corrupt.status(), false), BadReason::kCorrupt) << corrupt.status();
}

TEST(DctScalingTest, WantsALargeImageAndTwiceThePixels) {
  const ViewGeometry whole = CropGeometry({0, 0, 1000, 1000}, 100, 100);
  EXPECT_EQ(DctReduction({1000, 1000}, whole), 4);
  EXPECT_EQ(DctReduction({899, 4000}, whole), 1);
  EXPECT_EQ(DctReduction({1000, 1000}, CropGeometry({0, 0, 1000, 1000}, 250, 100)), 2);
  EXPECT_EQ(DctReduction({1000, 1000}, CropGeometry({0, 0, 1000, 1000}, 251, 100)), 1);
  EXPECT_EQ(DctReduction({1000, 1000}, CropGeometry({0, 0, 399, 1000}, 100, 100)), 1);
  EXPECT_EQ(DctReduction({4000, 4000}, CropGeometry({0, 0, 4000, 4000}, 100, 100)), 8);
}

TEST(DctScalingTest, KeepsThePlaceOfTheCrop) {
  const ViewGeometry view = Reduced(CropGeometry({13, 21, 900, 801}, 64, 64), 4, {251, 300});
  EXPECT_EQ(view.crop.top, 3);
  EXPECT_EQ(view.crop.height, 229 - 3);  // 913 / 4 rounded up.
  EXPECT_DOUBLE_EQ(view.crop.top + view.box_top, 13 / 4.0);
  EXPECT_DOUBLE_EQ(view.crop.left + view.box_left, 21 / 4.0);
  EXPECT_DOUBLE_EQ(view.box_height, 900 / 4.0);
  EXPECT_DOUBLE_EQ(view.box_width, 801 / 4.0);
}

struct Rows final : RowSink {
  explicit Rows(int width) : bytes(static_cast<size_t>(width) * 3) {}
  void Row(const uint8_t* row) override { pixels.insert(pixels.end(), row, row + bytes); }
  size_t bytes;
  std::vector<uint8_t> pixels;
};

TEST(DctScalingTest, AWindowHasThePixelsOfTheWhole) {
  const std::string jpeg = testing::TestJpeg(331, 427, 3);
  for (const int reduction : {2, 4, 8}) {
    ImageReader reader;
    ASSERT_TRUE(reader.Open(jpeg).ok());
    const Size size = reader.Reduce(reduction);
    EXPECT_EQ(size.height, (331 + reduction - 1) / reduction);
    Rows whole(size.width);
    ASSERT_TRUE(reader.Read({0, 0, size.height, size.width}, whole).ok());
    const Crop part{size.height / 4, size.width / 3, size.height / 2, size.width / 4};
    ASSERT_TRUE(reader.Open(jpeg).ok());
    reader.Reduce(reduction);
    Rows window(part.width);
    ASSERT_TRUE(reader.Read(part, window).ok());
    for (int y = 0; y < part.height; ++y) {
      const size_t at = (static_cast<size_t>(part.top + y) * size.width + part.left) * 3;
      EXPECT_EQ(0, std::memcmp(&whole.pixels[at], &window.pixels[y * window.bytes], window.bytes))
          << reduction << " row " << y;
    }
  }
}

std::vector<uint8_t> TrainingView(const std::string& jpeg, bool dct_scaling) {
  DataConfig data;
  data.crop_size = {64, 64};
  data.crop_scale = {0.6, 1};
  data.dct_scaling = dct_scaling;
  ViewTools tools;
  Philox random(7, Purpose::kCrop, 0, 1);
  std::vector<uint8_t> planes(ViewBytes(data));
  EXPECT_TRUE(WriteTrainingView(jpeg, data, random, tools, planes.data()).ok());
  return planes;
}

TEST(DctScalingTest, MovesThePixelsOfLargeImagesALittleAndOfOthersNotAtAll) {
  const std::string small = testing::TestJpeg(700, 899, 1);
  EXPECT_EQ(TrainingView(small, true), TrainingView(small, false));
  const std::string large = testing::TestJpeg(1000, 1300, 1);
  const std::vector<uint8_t> exact = TrainingView(large, false);
  const std::vector<uint8_t> scaled = TrainingView(large, true);
  EXPECT_NE(scaled, exact);
  double difference = 0, shift = 0;
  for (size_t i = 0; i < exact.size(); ++i) {
    difference += std::abs(scaled[i] - exact[i]);
    shift += scaled[i] - exact[i];
  }
  EXPECT_LT(difference / static_cast<double>(exact.size()), 1.5);
  EXPECT_LT(std::abs(shift) / static_cast<double>(exact.size()), 0.5);
}

}  // namespace
}  // namespace jepa
