// Scenes: labels that tell the truth, solids that stand free, sets all or nothing.
#include "worker/jepa/data/scene_generator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "tests/data/test_data.h"
#include "worker/jepa/data/image_source.h"
#include "worker/jepa/data/scene_layout.h"

namespace jepa {
namespace {

using testing::TempFolder;

TEST(SceneLayoutTest, LabelsTheNearestSolid) {
  for (int64_t i = 0; i < 300; ++i) {
    const SceneLayout layout = DrawSceneLayout(3, i);
    ASSERT_EQ(layout.labels.count, static_cast<int>(layout.world.solids.size()));
    ASSERT_GE(layout.labels.count, 1);
    ASSERT_LE(layout.labels.count, 5);
    double nearest = 1e9;
    SolidShape shape = SolidShape::kSphere;
    for (const Solid& solid : layout.world.solids) {
      const Vec3 away = solid.centre() - layout.world.camera.position;
      const double depth = std::sqrt(Dot(away, away));
      EXPECT_GE(depth, 2.99);
      EXPECT_LE(depth, 12.01);
      if (depth < nearest) shape = solid.shape;
      nearest = std::min(nearest, depth);
    }
    EXPECT_NEAR(layout.labels.nearest_depth, nearest, 1e-4);
    EXPECT_EQ(layout.labels.nearest_shape, shape);
  }
}

TEST(SceneLayoutTest, SolidsNeitherTouchNorHideEachOther) {
  for (int64_t i = 0; i < 300; ++i) {
    const World world = DrawSceneLayout(4, i).world;
    for (size_t a = 0; a < world.solids.size(); ++a) {
      const Outline outline = OutlineOf(world.solids[a], world.camera);
      EXPECT_LT(std::max(std::abs(outline.u), std::abs(outline.v)) + outline.radius, 1);
      for (size_t b = 0; b < a; ++b) {
        const Solid &one = world.solids[a], &two = world.solids[b];
        EXPECT_GT(std::hypot(one.x - two.x, one.z - two.z), one.footprint() + two.footprint());
        const Outline other = OutlineOf(two, world.camera);
        EXPECT_GT(std::hypot(outline.u - other.u, outline.v - other.v),
                  0.7 * (outline.radius + other.radius));
      }
    }
  }
}

TEST(SceneLayoutTest, DrawsAllShapesAndCountsEquallyOften) {
  constexpr int kScenes = 2000;
  int shapes[4] = {}, counts[6] = {};
  for (int64_t i = 0; i < kScenes; ++i) {
    const SceneLabels labels = DrawSceneLayout(5, i).labels;
    ++shapes[static_cast<int>(labels.nearest_shape)];
    ++counts[labels.count];
  }
  for (int count : shapes) EXPECT_NEAR(count, kScenes / 4, 130);
  for (int count = 1; count <= 5; ++count) EXPECT_NEAR(counts[count], kScenes / 5, 120);
}

// A lone solid straight ahead: what is drawn is where it is said to be.
TEST(RayCasterTest, DrawsEachShapeInsideItsOutline) {
  for (SolidShape shape :
       {SolidShape::kSphere, SolidShape::kCube, SolidShape::kCylinder, SolidShape::kCone}) {
    World world = DrawSceneLayout(6, 1).world;
    Solid solid;
    solid.shape = shape;
    solid.radius = 0.8f;
    solid.height = 1.6f;
    solid.z = 6;
    solid.colour = {1, 0, 0};
    world.solids = {solid};
    constexpr int kSize = 96;
    const Image with = Render(world, kSize);
    world.solids[0].colour = {0, 0, 1};
    const Image other = Render(world, kSize);
    const Outline outline = OutlineOf(solid, world.camera);
    int covered = 0;
    for (int y = 0; y < kSize; ++y) {
      for (int x = 0; x < kSize; ++x) {
        const size_t at = (static_cast<size_t>(y) * kSize + x) * 3;
        if (std::equal(&with.pixels[at], &with.pixels[at] + 3, &other.pixels[at])) continue;
        ++covered;
        const float u = (x + 0.5f) * 2 / kSize - 1, v = 1 - (y + 0.5f) * 2 / kSize;
        EXPECT_LT(std::hypot(u - outline.u, v - outline.v), outline.radius * 1.06f + 0.03f);
      }
    }
    const double circle = M_PI * outline.radius * outline.radius * kSize * kSize / 4;
    EXPECT_GT(covered, 0.3 * circle) << static_cast<int>(shape);
    EXPECT_LT(covered, 1.12 * circle) << static_cast<int>(shape);
  }
}

TEST(SceneGeneratorTest, DrawsTheSameSceneAgain) {
  const Scene one = RenderScene(1, 2, 32);
  EXPECT_EQ(RenderScene(1, 2, 32).image.pixels, one.image.pixels);
  EXPECT_NE(RenderScene(1, 3, 32).image.pixels, one.image.pixels);
  EXPECT_NE(RenderScene(2, 2, 32).image.pixels, one.image.pixels);
  EXPECT_EQ(one.image.pixels.size(), 32u * 32 * 3);
}

TEST(SceneSetTest, IsASourceWithThreeColumnsOfLabels) {
  TempFolder folder;
  const std::string path = folder.path() + "/scenes";
  ASSERT_TRUE(WriteSceneSet(path, 7, 40, 16).ok());
  const auto source = OpenImageSource(path);
  ASSERT_TRUE(source.ok()) << source.status();
  EXPECT_EQ((*source)->size(), 40);
  EXPECT_EQ((*source)->name(3), "images/000003.jpg");
  const auto labels = ReadLabels(path, **source);
  ASSERT_TRUE(labels.ok()) << labels.status();
  ASSERT_EQ(labels->size(), 3u);
  EXPECT_EQ((*labels)[0].classes, 4);
  EXPECT_EQ((*labels)[1].classes, 5);
  EXPECT_EQ((*labels)[2].classes, 6);
  for (const Labels& column : *labels) {
    EXPECT_EQ(std::count(column.values.begin(), column.values.end(), -1), 0);
  }
}

TEST(SceneSetTest, WritesNothingWhereTheSameSetIs) {
  TempFolder folder;
  const std::string path = folder.path() + "/scenes";
  ASSERT_TRUE(WriteSceneSet(path, 7, 3, 16).ok());
  std::filesystem::remove(path + "/images/000001.jpg");
  ASSERT_TRUE(WriteSceneSet(path + "/", 7, 3, 16).ok());
  EXPECT_FALSE(std::filesystem::exists(path + "/images/000001.jpg"));
  ASSERT_TRUE(WriteSceneSet(path, 8, 2, 16).ok());
  EXPECT_TRUE(std::filesystem::exists(path + "/images/000001.jpg"));
  EXPECT_FALSE(std::filesystem::exists(path + "/images/000002.jpg"));
}

TEST(SceneSetTest, LeavesAFolderOfOthersAlone) {
  TempFolder folder;
  folder.Write("mine.txt", "precious");
  const absl::Status status = WriteSceneSet(folder.path(), 7, 3, 16);
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_TRUE(std::filesystem::exists(folder.path() + "/mine.txt"));
  EXPECT_FALSE(std::filesystem::exists(folder.path() + "/labels.csv"));
}

TEST(SceneSetTest, LeavesNothingBehindWhenItFails) {
  TempFolder folder;
  folder.Write("file", "");
  EXPECT_FALSE(WriteSceneSet(folder.path() + "/file/scenes", 7, 3, 16).ok());
  EXPECT_TRUE(absl::IsInvalidArgument(WriteSceneSet(folder.path() + "/s", 7, 0, 16)));
  EXPECT_TRUE(absl::IsInvalidArgument(WriteSceneSet(folder.path() + "/s", 7, 1, 8)));
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1);
}

}  // namespace
}  // namespace jepa
