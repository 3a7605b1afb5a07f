// The probes' views.
#include "worker/jepa/data/eval_view.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/data/slow_source.h"
#include "tests/data/test_data.h"
#include "tests/fakes/memory_host.h"
#include "worker/jepa/data/augment.h"
#include "worker/jepa/data/decode.h"
#include "worker/jepa/data/exif.h"

namespace jepa {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

class EvalViewTest : public ::testing::Test {
 protected:
  EvalViewTest() { data_.crop_size = {12, 12}; }

  absl::StatusOr<std::vector<uint8_t>> Load(const ImageSource& source,
                                            const std::vector<int64_t>& indices) {
    return LoadEvalView({.source = source,
                         .indices = indices,
                         .data = data_,
                         .host = host_,
                         .step = 7,
                         .clock = clock_},
                        bad_);
  }

  DataConfig data_;
  MemoryRendezvous rendezvous_;
  MemoryHost host_{rendezvous_};
  ijepa::Clock* clock_ = nullptr;
  std::vector<int64_t> bad_;
};

std::vector<uint8_t> PlanesOf(const Image& image) {
  std::vector<uint8_t> planes(12 * 12 * 3);
  WritePlanes(ResizeAndCentreCrop(image, {12, 12}), planes.data());
  return planes;
}

TEST_F(EvalViewTest, GivesTheDeterministicViewsInOrderForAnyThreads) {
  std::vector<std::string> files;
  for (int i = 0; i < 20; ++i) files.push_back(testing::TestJpeg(20 + i, 30, i));
  const testing::MemorySource source(files);
  std::vector<int64_t> indices;
  std::vector<uint8_t> expected;
  for (int i = 0; i < 30; ++i) {
    indices.push_back(i * 7 % 20);
    const std::vector<uint8_t> planes = PlanesOf(*Decode(files[indices.back()]));
    expected.insert(expected.end(), planes.begin(), planes.end());
  }
  for (const int threads : {0, 1, 8}) {
    data_.num_workers = threads;
    const auto views = Load(source, indices);
    ASSERT_TRUE(views.ok()) << views.status();
    EXPECT_TRUE(bad_.empty());
    EXPECT_EQ(*views, expected);
  }
}

TEST_F(EvalViewTest, TurnsImagesWhereTrainingDoes) {
  const std::string jpeg = testing::TestJpeg(20, 30, 1);
  const testing::MemorySource source({testing::WithOrientation(jpeg, 6, true)});
  const Image upright = *Decode(jpeg);
  EXPECT_EQ(*Load(source, {0}), PlanesOf(upright));
  data_.exif_orientation = true;
  EXPECT_EQ(*Load(source, {0}), PlanesOf(Oriented(upright, 6)));
}

TEST_F(EvalViewTest, ReportsBadImagesAndLeavesThemBlack) {
  data_.crop_size = {4, 4};
  const testing::MemorySource source({testing::TestJpeg(20, 30, 1), "broken"});
  const auto views = Load(source, {0, 1, 1});
  ASSERT_TRUE(views.ok()) << views.status();
  EXPECT_THAT(bad_, ElementsAre(1, 1));
  EXPECT_EQ(std::vector<uint8_t>(views->begin() + 48, views->end()), std::vector<uint8_t>(96, 0));
}

TEST_F(EvalViewTest, RefusesWhatIsNotInTheSource) {
  const testing::MemorySource source({"x"});
  EXPECT_TRUE(absl::IsInvalidArgument(Load(source, {1}).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(Load(source, {-1}).status()));
  data_.crop_size = {0, 4};
  EXPECT_TRUE(absl::IsInvalidArgument(Load(source, {0}).status()));
}

TEST_F(EvalViewTest, NamesTheFileAndLeavesWhenStorageHangs) {
  testing::SlowSource source(testing::TestJpeg(16, 16, 1));
  testing::FastClock clock;
  clock_ = &clock;
  source.Block(true);
  host_.on_leave = [&source] { source.Block(false); };
  const auto views = Load(source, {5, 6});
  EXPECT_TRUE(absl::IsDeadlineExceeded(views.status())) << views.status();
  EXPECT_THAT(std::string(views.status().message()), HasSubstr("slow5"));
  ASSERT_THAT(host_.left, SizeIs(1));
  EXPECT_EQ(host_.left[0], views.status());
  ASSERT_EQ(host_.CountNotes("DATA_STALLED"), 1);
  EXPECT_THAT(host_.notes()[0].message, HasSubstr("slow5"));
  EXPECT_EQ(host_.notes()[0].step, 7);
}

}  // namespace
}  // namespace jepa
