// The probes' views.
#include "worker/jepa/data/eval_view.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/data/test_data.h"
#include "worker/jepa/data/augment.h"
#include "worker/jepa/data/decode.h"

namespace jepa {
namespace {

TEST(EvalViewTest, GivesTheDeterministicViewsInOrder) {
  const std::vector<std::string> files = {testing::TestJpeg(20, 30, 1),
                                          testing::TestJpeg(31, 16, 2)};
  const testing::MemorySource source(files);
  std::vector<int64_t> bad;
  const auto views = LoadEvalView(source, {1, 0, 1}, {12, 12}, &bad);
  ASSERT_TRUE(views.ok()) << views.status();
  EXPECT_TRUE(bad.empty());
  std::vector<uint8_t> expected(12 * 12 * 3 * 3);
  for (int i = 0; i < 3; ++i) {
    const Image image = *Decode(files[i == 1 ? 0 : 1]);
    WritePlanes(ResizeAndCentreCrop(image, {12, 12}), expected.data() + i * 432);
  }
  EXPECT_EQ(*views, expected);
}

TEST(EvalViewTest, ReportsBadImagesAndLeavesThemBlack) {
  const testing::MemorySource source({testing::TestJpeg(20, 30, 1), "broken"});
  std::vector<int64_t> bad;
  const auto views = LoadEvalView(source, {0, 1, 1}, {4, 4}, &bad);
  ASSERT_TRUE(views.ok()) << views.status();
  EXPECT_THAT(bad, ::testing::ElementsAre(1, 1));
  EXPECT_EQ(std::vector<uint8_t>(views->begin() + 48, views->end()), std::vector<uint8_t>(96, 0));
  EXPECT_TRUE(LoadEvalView(source, {1}, {4, 4}, nullptr).ok());
}

TEST(EvalViewTest, RefusesWhatIsNotInTheSource) {
  const testing::MemorySource source({"x"});
  EXPECT_TRUE(absl::IsInvalidArgument(LoadEvalView(source, {1}, {4, 4}, nullptr).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(LoadEvalView(source, {-1}, {4, 4}, nullptr).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(LoadEvalView(source, {0}, {0, 4}, nullptr).status()));
}

}  // namespace
}  // namespace jepa
