// Surveys and packing.
#include "worker/jepa/data/survey.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <png.h>

#include <filesystem>

#include "common/file.h"
#include "tests/data/test_data.h"
#include "worker/jepa/data/tar_shards.h"

namespace jepa {
namespace {

using ::testing::ElementsAre;
using testing::MemorySource;
using testing::TempFolder;

std::string GreyPng(int height, int width, uint8_t value) {
  return testing::TestPng(
      {height,
       width,
       8,
       PNG_COLOR_TYPE_GRAY,
       false,
       {},
       std::vector<std::vector<uint8_t>>(height, std::vector<uint8_t>(width, value))});
}

TEST(SurveyTest, CountsSizesColoursAndBadOnesForAnyNumberOfThreads) {
  const MemorySource source({GreyPng(2, 4, 0), "", GreyPng(4, 2, 255), "neither",
                             testing::TestJpeg(20, 30, 1).substr(0, 200)});
  for (const int threads : {1, 3}) {
    int64_t told = 0;
    const Survey survey = SurveyImages(source, {threads, [&](int64_t done) { told = done; }});
    EXPECT_EQ(told, 5);
    EXPECT_EQ(survey.images, 2);
    EXPECT_EQ(survey.min_side, 2);
    EXPECT_EQ(survey.max_side, 4);
    EXPECT_EQ(survey.mean_pixels, 8);
    for (size_t c = 0; c < 3; ++c) {
      EXPECT_DOUBLE_EQ(survey.mean[c], 0.5);
      EXPECT_DOUBLE_EQ(survey.deviation[c], 0.5);
    }
    ASSERT_EQ(survey.bad.size(), 3u);
    EXPECT_EQ(survey.bad[0].index, 1);
    EXPECT_EQ(survey.bad[0].reason, BadReason::kEmpty);
    EXPECT_EQ(survey.bad[1].reason, BadReason::kCorrupt);
    EXPECT_EQ(survey.bad[2].reason, BadReason::kTruncated);
  }
}

// `jpeg` whose header claims other sides.
std::string WithSides(std::string jpeg, int height, int width) {
  const size_t frame = jpeg.find(std::string("\xff\xc0\x00\x11", 4));
  EXPECT_NE(frame, std::string::npos);
  for (const auto& [at, side] : {std::pair{5, height}, std::pair{7, width}}) {
    jpeg[frame + at] = static_cast<char>(side >> 8);
    jpeg[frame + at + 1] = static_cast<char>(side & 0xff);
  }
  return jpeg;
}

// 65,500 is what libjpeg takes; 20,000 x 20,000 is past our own limit.
TEST(SurveyTest, CountsJpegsOfTooManyPixelsAsTooLarge) {
  const std::string jpeg = testing::TestJpeg(20, 30, 1);
  const MemorySource source({WithSides(jpeg, 65535, 65535), WithSides(jpeg, 20, 65535),
                             WithSides(jpeg, 20000, 20000), WithSides(jpeg, 20, 30)});
  const Survey survey = SurveyImages(source, {});
  ASSERT_EQ(survey.bad.size(), 3u);
  for (const BadFile& file : survey.bad) {
    EXPECT_EQ(file.reason, BadReason::kTooLarge) << file.message;
  }
}

TEST(PackTest, WritesShardsThatReadBackWithTheirLabels) {
  TempFolder folder;
  std::vector<std::string> files;
  for (int i = 0; i < 7; ++i) files.push_back(testing::TestJpeg(20, 30, i));
  files.push_back(GreyPng(2, 4, 9));
  const MemorySource source(files);
  Labels labels;
  labels.class_names = {"cat", "dog"};
  labels.values = {0, 1, 0, 1, -1, 1, 0, 1};
  PackOptions options;
  options.shard_bytes = 4096;
  options.labels = &labels;
  const std::string out = folder.path() + "/packed";
  const auto shards = PackImages(source, out, options);
  ASSERT_TRUE(shards.ok()) << shards.status();
  EXPECT_GT(*shards, 1);
  const std::string pattern = out + "/shard-*.tar";
  const auto packed = OpenImageSource(pattern);
  ASSERT_TRUE(packed.ok()) << packed.status();
  ASSERT_EQ((*packed)->size(), 8);
  for (int64_t i = 0; i < 8; ++i) EXPECT_EQ((*packed)->Read(i).value(), files[i]);
  const auto read = ReadLabels(pattern, **packed);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_THAT((*read)[0].values, ElementsAre(0, 1, 0, 1, -1, 1, 0, 1));
  EXPECT_TRUE(absl::IsAlreadyExists(PackImages(source, out, options).status()));
}

TEST(PackTest, LeavesNothingWhenAnImageCannotBeRead) {
  TempFolder folder;
  const MemorySource source({"a", "b"}, {{1, absl::NotFoundError("gone")}});
  const std::string out = folder.path() + "/packed";
  EXPECT_TRUE(absl::IsNotFound(PackImages(source, out, {}).status()));
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

}  // namespace
}  // namespace jepa
