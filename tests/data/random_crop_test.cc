// The law of the random crop and of the other random steps of a view.
#include "worker/jepa/data/random_crop.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "tests/data/test_data.h"
#include "worker/jepa/data/augment.h"
#include "worker/jepa/plan/random.h"

namespace jepa {
namespace {

TEST(RandomCropTest, LiesInsideTheImageForAnyShape) {
  Philox random(1, Purpose::kCrop, 0, 0);
  for (const auto& [height, width] : std::vector<std::pair<int, int>>{
           {1, 1}, {1, 50}, {50, 1}, {2, 3}, {32, 32}, {375, 500}, {1, 2'000'000'000}}) {
    for (int i = 0; i < 200; ++i) {
      const Crop crop = DrawCrop({height, width}, {0.3, 1.0}, 1, random);
      ASSERT_GT(crop.height, 0);
      ASSERT_GT(crop.width, 0);
      ASSERT_GE(crop.top, 0);
      ASSERT_GE(crop.left, 0);
      ASSERT_LE(crop.height, height - crop.top);
      ASSERT_LE(crop.width, width - crop.left);
    }
  }
}

TEST(RandomCropTest, FollowsAreaAndAspectLaws) {
  Philox random(2, Purpose::kCrop, 0, 0);
  constexpr int kDraws = 20'000;
  double area = 0, log_aspect = 0;
  for (int i = 0; i < kDraws; ++i) {
    // Crops up to a fifth of a large square always fit at the first try.
    const Crop crop = DrawCrop({4000, 4000}, {0.1, 0.2}, 1, random);
    area += static_cast<double>(crop.height) * crop.width / 16e6;
    log_aspect += std::log(static_cast<double>(crop.width) / crop.height);
  }
  EXPECT_NEAR(area / kDraws, 0.15, 5 * 0.1 / std::sqrt(12.0 * kDraws));
  EXPECT_NEAR(log_aspect / kDraws, 0, 5 * 0.58 / std::sqrt(12.0 * kDraws));
}

// The shapes of things stay in a view that is not square.
TEST(RandomCropTest, TurnsTheAspectLawToThatOfTheView) {
  Philox random(3, Purpose::kCrop, 0, 0);
  constexpr int kDraws = 20'000;
  double log_aspect = 0;
  for (int i = 0; i < kDraws; ++i) {
    const Crop crop = DrawCrop({4000, 4000}, {0.1, 0.2}, 1.5, random);
    log_aspect += std::log(static_cast<double>(crop.width) / crop.height);
  }
  EXPECT_NEAR(log_aspect / kDraws, std::log(1.5), 5 * 0.58 / std::sqrt(12.0 * kDraws));
  EXPECT_EQ(CentreFallback({100, 900}, 3).width, 400);
}

TEST(RandomCropTest, FallsBackToTheMiddle) {
  const Crop wide = CentreFallback({60, 900}, 1);
  EXPECT_EQ(wide.height, 60);
  EXPECT_EQ(wide.width, 80);
  EXPECT_EQ(wide.left, 410);
  const Crop tall = CentreFallback({900, 60}, 1);
  EXPECT_EQ(tall.height, 80);
  EXPECT_EQ(tall.top, 410);
  const Crop square = CentreFallback({50, 60}, 1);
  EXPECT_EQ(square.height, 50);
  EXPECT_EQ(square.width, 60);
}

class TrainingViewTest : public ::testing::Test {
 protected:
  std::vector<uint8_t> View(const DataConfig& data, uint64_t sample) const {
    std::vector<uint8_t> planes(static_cast<size_t>(data.crop_size.height) * data.crop_size.width *
                                3);
    Philox random(9, Purpose::kCrop, 0, sample);
    ViewTools tools;
    const absl::Status status = WriteTrainingView(file_, data, random, tools, planes.data());
    EXPECT_TRUE(status.ok()) << status;
    return planes;
  }
  DataConfig Plain() const {
    DataConfig data;
    data.crop_size = {24, 24};
    return data;
  }

  const std::string file_ = testing::TestJpeg(40, 50, 1);
};

TEST_F(TrainingViewTest, FlipsHalfOfTheImages) {
  DataConfig flipping = Plain();
  flipping.horizontal_flip = true;
  int flipped = 0;
  for (uint64_t sample = 0; sample < 400; ++sample) {
    const std::vector<uint8_t> plain = View(Plain(), sample);
    std::vector<uint8_t> view = View(flipping, sample);
    if (view == plain) continue;
    for (auto row = view.begin(); row != view.end(); row += 24) std::reverse(row, row + 24);
    ASSERT_EQ(view, plain);
    ++flipped;
  }
  EXPECT_NEAR(flipped, 200, 50);
}

TEST_F(TrainingViewTest, DistortsFourFifthsAndBlursHalf) {
  DataConfig distorting = Plain();
  distorting.color_distortion = true;
  distorting.color_jitter_strength = 1;
  DataConfig blurring = Plain();
  blurring.gaussian_blur = true;
  int distorted = 0, grey = 0, blurred = 0;
  for (uint64_t sample = 0; sample < 400; ++sample) {
    const std::vector<uint8_t> plain = View(Plain(), sample);
    const std::vector<uint8_t> view = View(distorting, sample);
    distorted += view != plain ? 1 : 0;
    grey += std::equal(view.begin(), view.begin() + 24 * 24, view.begin() + 24 * 24) ? 1 : 0;
    blurred += View(blurring, sample) != plain ? 1 : 0;
  }
  EXPECT_NEAR(distorted, 400 * (1 - 0.2 * 0.8), 40);
  EXPECT_NEAR(grey, 80, 40);
  EXPECT_NEAR(blurred, 200, 50);
}

TEST_F(TrainingViewTest, FillsARectangularView) {
  DataConfig wide = Plain();
  wide.crop_size = {16, 40};
  const std::vector<uint8_t> view = View(wide, 5);
  EXPECT_EQ(view.size(), 3u * 16 * 40);
  const Crop crop = [&] {
    Philox random(9, Purpose::kCrop, 0, 5);
    return DrawCrop({40, 50}, wide.crop_scale, 2.5, random);
  }();
  std::vector<uint8_t> expected(view.size());
  WritePlanes(CropAndResize(*Decode(file_), crop, 16, 40), expected.data());
  EXPECT_EQ(view, expected);
}

TEST_F(TrainingViewTest, PlacesChannelsInPlanes) {
  const Image image{1, 2, {1, 2, 3, 4, 5, 6}};
  std::vector<uint8_t> planes(6);
  WritePlanes(image, planes.data());
  EXPECT_EQ(planes, (std::vector<uint8_t>{1, 4, 2, 5, 3, 6}));
  EXPECT_EQ(Interleaved(planes.data(), {1, 2}).pixels, image.pixels);
}

}  // namespace
}  // namespace jepa
