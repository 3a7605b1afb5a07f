// Colour modes of PNG, broken files, limits.
#include "worker/jepa/data/decode.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <png.h>

#include <algorithm>

#include "tests/data/test_data.h"
#include "worker/jepa/data/codec.h"
#include "worker/jepa/plan/random.h"

namespace jepa {
namespace {

using ::testing::ElementsAre;
using testing::PngParts;
using testing::TestJpeg;
using testing::TestPng;

std::vector<uint8_t> Decoded(const PngParts& parts) {
  const auto image = Decode(TestPng(parts));
  EXPECT_TRUE(image.ok()) << image.status();
  return image.ok() ? image->pixels : std::vector<uint8_t>();
}

TEST(DecodeTest, WidensGreyOfFewBits) {
  EXPECT_THAT(Decoded({1, 2, 1, PNG_COLOR_TYPE_GRAY, false, {}, {{0x40}}}),
              ElementsAre(0, 0, 0, 255, 255, 255));
  EXPECT_THAT(Decoded({1, 2, 2, PNG_COLOR_TYPE_GRAY, false, {}, {{0x60}}}),
              ElementsAre(0x55, 0x55, 0x55, 0xaa, 0xaa, 0xaa));
  EXPECT_THAT(Decoded({1, 2, 4, PNG_COLOR_TYPE_GRAY, false, {}, {{0x3c}}}),
              ElementsAre(0x33, 0x33, 0x33, 0xcc, 0xcc, 0xcc));
}

TEST(DecodeTest, ClipsGreyAndCutsColourOfSixteenBits) {
  EXPECT_THAT(Decoded({1, 2, 16, PNG_COLOR_TYPE_GRAY, false, {}, {{0, 7, 1, 0}}}),
              ElementsAre(7, 7, 7, 255, 255, 255));
  EXPECT_THAT(Decoded({1, 1, 16, PNG_COLOR_TYPE_RGB, false, {}, {{1, 255, 2, 255, 3, 255}}}),
              ElementsAre(1, 2, 3));
  EXPECT_THAT(Decoded({1, 1, 16, PNG_COLOR_TYPE_GRAY_ALPHA, false, {}, {{9, 255, 3, 255}}}),
              ElementsAre(9, 9, 9));
}

TEST(DecodeTest, DropsAlpha) {
  EXPECT_THAT(Decoded({1, 1, 8, PNG_COLOR_TYPE_RGB_ALPHA, false, {}, {{1, 2, 3, 0}}}),
              ElementsAre(1, 2, 3));
  EXPECT_THAT(Decoded({1, 1, 8, PNG_COLOR_TYPE_GRAY_ALPHA, false, {}, {{5, 0}}}),
              ElementsAre(5, 5, 5));
}

TEST(DecodeTest, LooksUpThePaletteAndTakesBlackBeyondIt) {
  EXPECT_THAT(Decoded({1, 3, 2, PNG_COLOR_TYPE_PALETTE, false, {10, 11, 12, 20, 21, 22}, {{0x1c}}}),
              ElementsAre(10, 11, 12, 20, 21, 22, 0, 0, 0));
}

TEST(DecodeTest, DecodesInterlacedAsPlain) {
  PngParts parts{11, 13, 8, PNG_COLOR_TYPE_RGB, false, {}, {}};
  const Image image = testing::TestImage(11, 13, 5);
  for (int y = 0; y < 11; ++y) {
    parts.rows.emplace_back(image.pixels.begin() + y * 39, image.pixels.begin() + (y + 1) * 39);
  }
  EXPECT_EQ(Decoded(parts), image.pixels);
  parts.interlaced = true;
  EXPECT_EQ(Decoded(parts), image.pixels);
}

TEST(DecodeTest, RefusesWhatIsNoImage) {
  EXPECT_TRUE(absl::IsDataLoss(Decode("").status()));
  EXPECT_TRUE(absl::IsDataLoss(Decode("GIF89a").status()));
  EXPECT_TRUE(absl::IsDataLoss(Decode("\xff\xd8\xff").status()));
}

TEST(DecodeTest, RefusesTruncationAtEveryByteOfTheDataButNotBeyond) {
  const std::string whole = TestJpeg(40, 56, 3);
  ASSERT_TRUE(Decode(whole).ok());
  EXPECT_TRUE(Decode(whole + "trailing").ok());
  for (size_t size = 0; size + 16 < whole.size(); size += 7) {
    const auto image = Decode(whole.substr(0, size));
    EXPECT_TRUE(absl::IsDataLoss(image.status())) << size << ": " << image.status();
  }
  const std::string png = TestPng({1, 2, 8, PNG_COLOR_TYPE_RGB, false, {}, {{1, 2, 3, 4, 5, 6}}});
  for (size_t size = 0; size + 20 < png.size(); ++size) {
    EXPECT_TRUE(absl::IsDataLoss(Decode(png.substr(0, size)).status())) << size;
  }
}

TEST(DecodeTest, ChecksTheSizeBeforeItAllocates) {
  std::string jpeg = TestJpeg(16, 16, 1);
  const size_t frame = jpeg.find("\xff\xc0");
  ASSERT_NE(frame, std::string::npos);
  jpeg.replace(frame + 5, 4, "\xff\xdc\xff\xdc");  // 65,500 x 65,500
  EXPECT_TRUE(absl::IsResourceExhausted(Decode(jpeg).status())) << Decode(jpeg).status();
  EXPECT_TRUE(CheckImageSize(1, kMaxPixels).ok());
  EXPECT_TRUE(absl::IsResourceExhausted(CheckImageSize(1, kMaxPixels + 1)));
  EXPECT_TRUE(absl::IsResourceExhausted(CheckImageSize(2'000'000'000, 2'000'000'000)));
}

TEST(DecodeTest, SurvivesAnyDamage) {
  Philox random(2, Purpose::kProbe, 0, 0);
  PngParts parts{9, 9, 4, PNG_COLOR_TYPE_PALETTE, true, std::vector<uint8_t>(48, 7), {}};
  parts.rows.assign(9, std::vector<uint8_t>(5, 0x21));
  const std::string files[] = {TestJpeg(24, 24, 1), TestPng(parts)};
  for (int round = 0; round < 3000; ++round) {
    std::string damaged = files[round % 2];
    for (int i = 0; i < 3; ++i) {
      // The size in the header stays: a huge picture is legal, but slow to test.
      const uint32_t at = 30 + random.Below(static_cast<uint32_t>(damaged.size()) - 30);
      damaged[at] = static_cast<char>(random.Below(256));
    }
    const auto image = Decode(damaged);
    if (image.ok()) {
      EXPECT_EQ(image->pixels.size(), static_cast<size_t>(image->height) * image->width * 3);
    } else {
      EXPECT_TRUE(absl::IsDataLoss(image.status()) || absl::IsResourceExhausted(image.status()));
    }
  }
}

}  // namespace
}  // namespace jepa
