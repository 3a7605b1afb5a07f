// Orientations as Pillow 13's ImageOps.exif_transpose turns a 3 x 2 image, and headers that lie.
#include "worker/jepa/data/exif.h"

#include <gtest/gtest.h>

#include "tests/data/test_data.h"
#include "worker/jepa/data/decode.h"
#include "worker/jepa/plan/random.h"

namespace jepa {
namespace {

// `value` in two bytes.
TEST(ExifTest, TurnsAsPillowDoes) {
  const std::vector<std::vector<uint8_t>> expected = {
      {1, 2, 3, 4, 5, 6}, {3, 2, 1, 6, 5, 4}, {6, 5, 4, 3, 2, 1}, {4, 5, 6, 1, 2, 3},
      {1, 4, 2, 5, 3, 6}, {4, 1, 5, 2, 6, 3}, {6, 3, 5, 2, 4, 1}, {3, 6, 2, 5, 1, 4}};
  Image image{2, 3, {}};
  for (uint8_t value = 1; value <= 6; ++value) image.pixels.insert(image.pixels.end(), 3, value);
  for (int orientation = 1; orientation <= 8; ++orientation) {
    const Image turned = Oriented(image, orientation);
    EXPECT_EQ(turned.width, orientation < 5 ? 3 : 2);
    std::vector<uint8_t> reds;
    for (size_t i = 0; i < turned.pixels.size(); i += 3) reds.push_back(turned.pixels[i]);
    EXPECT_EQ(reds, expected[orientation - 1]) << orientation;
  }
}

TEST(ExifTest, ReadsBothByteOrdersAndTurnsOnlyWhenAsked) {
  const std::string jpeg = testing::TestJpeg(20, 30, 1);
  const Image upright = *Decode(jpeg);
  EXPECT_EQ(ExifOrientation(jpeg), 1);
  for (const bool big : {false, true}) {
    const std::string bytes = testing::WithOrientation(jpeg, 6, big);
    EXPECT_EQ(ExifOrientation(bytes), 6);
    EXPECT_EQ(Decode(bytes)->pixels, upright.pixels);
    ImageReader reader;
    reader.set_orient(true);
    const auto size = reader.Open(bytes);
    ASSERT_TRUE(size.ok()) << size.status();
    EXPECT_EQ(size->height, 30);
    EXPECT_EQ(size->width, 20);
    struct FirstRow final : RowSink {
      std::vector<uint8_t> pixels;
      void Row(const uint8_t* row) override {
        if (pixels.empty()) pixels.assign(row, row + 60);
      }
    } first;
    ASSERT_TRUE(reader.Read({0, 0, 30, 20}, first).ok());
    const Image turned = Oriented(upright, 6);
    EXPECT_TRUE(std::equal(first.pixels.begin(), first.pixels.end(), turned.pixels.begin()));
  }
  EXPECT_EQ(ExifOrientation(testing::WithOrientation(jpeg, 9, true)), 1);
}

TEST(ExifTest, SurvivesAnyDamage) {
  Philox random(4, Purpose::kProbe, 0, 0);
  const std::string whole =
      testing::WithOrientation(testing::TestJpeg(8, 8, 1), 8, true).substr(0, 80);
  for (int round = 0; round < 20'000; ++round) {
    std::string bytes = whole.substr(0, random.Below(81));
    for (uint32_t i = 0; i < 3 && !bytes.empty(); ++i) {
      bytes[random.Below(static_cast<uint32_t>(bytes.size()))] = static_cast<char>(random.Next());
    }
    const int orientation = ExifOrientation(bytes);
    ASSERT_GE(orientation, 1);
    ASSERT_LE(orientation, 8);
  }
}

}  // namespace
}  // namespace jepa
