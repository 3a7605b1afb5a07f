// Folders and the published layout.
#include "worker/jepa/data/image_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "tests/data/test_data.h"
#include "worker/jepa/data/bad_image.h"

namespace jepa {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::NamesOf;
using testing::TempFolder;

TEST(ImageSourceTest, ListsImagesOfAllFoldersByName) {
  TempFolder folder;
  folder.Write("b/two.JPG", "2");
  folder.Write("b/deep/er/three.png", "3");
  folder.Write("a/one.jpeg", "1");
  folder.Write("a/notes.txt", "no image");
  folder.Write("a/._one.jpeg", "side file");
  const auto source = OpenImageSource(folder.path());
  ASSERT_TRUE(source.ok()) << source.status();
  EXPECT_THAT(NamesOf(**source), ElementsAre("a/one.jpeg", "b/deep/er/three.png", "b/two.JPG"));
  EXPECT_EQ((*source)->Read(2).value(), "2");
}

TEST(ImageSourceTest, FollowsLinksToFoldersWithoutLoops) {
  TempFolder folder;
  TempFolder elsewhere;
  folder.Write("a/one.jpg", "1");
  elsewhere.Write("two.jpg", "2");
  std::filesystem::create_directory_symlink(elsewhere.path(), folder.path() + "/linked");
  std::filesystem::create_directory_symlink(folder.path(), folder.path() + "/a/loop");
  std::filesystem::create_symlink("nowhere", folder.path() + "/gone");
  const auto source = OpenImageSource(folder.path());
  ASSERT_TRUE(source.ok()) << source.status();
  EXPECT_THAT(NamesOf(**source), ElementsAre("a/one.jpg", "linked/two.jpg"));
}

// As of a manifest that names them.
TEST(ImageSourceTest, CountsLinksThatLeadToNoFileAsUnreadable) {
  TempFolder folder;
  folder.Write("a.jpg", "1");
  std::filesystem::create_symlink("nowhere", folder.path() + "/dead.jpg");
  std::filesystem::create_symlink("/dev/null", folder.path() + "/device.jpg");
  std::filesystem::create_symlink("itself.jpg", folder.path() + "/itself.jpg");
  std::filesystem::create_symlink("a.jpg", folder.path() + "/whole.jpg");
  const std::string manifest =
      folder.Write("list.txt", "a.jpg\ndead.jpg\ndevice.jpg\nitself.jpg\nwhole.jpg\n");
  for (const std::string& path : {folder.path(), manifest}) {
    const auto source = OpenImageSource(path);
    ASSERT_TRUE(source.ok()) << source.status();
    ASSERT_THAT(NamesOf(**source),
                ElementsAre("a.jpg", "dead.jpg", "device.jpg", "itself.jpg", "whole.jpg"));
    EXPECT_EQ((*source)->Read(4).value(), "1");
    for (const int64_t bad : {1, 2, 3}) {
      const absl::Status status = (*source)->Read(bad).status();
      EXPECT_EQ(BadReasonOf(status, /*reading=*/true), BadReason::kUnreadable) << status;
      EXPECT_THAT(std::string(status.message()), HasSubstr((*source)->name(bad)));
    }
  }
}

TEST(ImageSourceTest, SaysThatAFolderHasNoImage) {
  TempFolder folder;
  folder.Write("readme.txt", "");
  const auto source = OpenImageSource(folder.path());
  EXPECT_TRUE(absl::IsFailedPrecondition(source.status()));
  EXPECT_THAT(std::string(source.status().message()),
              HasSubstr("has no .jpg, .jpeg, .png or .webp file"));
}

TEST(ImageSourceTest, SaysThatThePathIsMissing) {
  const auto source = OpenImageSource("/nowhere/at/all");
  EXPECT_TRUE(absl::IsNotFound(source.status())) << source.status();
  EXPECT_THAT(std::string(source.status().message()), HasSubstr("/nowhere/at/all"));
}

TEST(ImageSourceTest, ReportsAFileThatVanished) {
  TempFolder folder;
  const std::string path = folder.Write("one.jpg", "1");
  const auto source = OpenImageSource(folder.path());
  ASSERT_TRUE(source.ok());
  std::filesystem::remove(path);
  EXPECT_TRUE(absl::IsNotFound((*source)->Read(0).status()));
}

TEST(ImageSourceTest, RefusesAFileThatIsTooLarge) {
  TempFolder folder;
  const std::string path = folder.Write("one.jpg", "1");
  std::filesystem::resize_file(path, (256 << 20) + 1);
  const auto source = OpenImageSource(folder.path());
  ASSERT_TRUE(source.ok());
  EXPECT_TRUE(absl::IsResourceExhausted((*source)->Read(0).status()));
}

TEST(PublishedImagePathTest, TakesTheDeepestFolderThatExists) {
  TempFolder folder;
  EXPECT_EQ(PublishedImagePath(folder.path(), "in1k/061417/"), folder.path());
  std::filesystem::create_directories(folder.path() + "/in1k/061417");
  EXPECT_EQ(PublishedImagePath(folder.path() + "/", "in1k/061417/"),
            folder.path() + "/in1k/061417");
  std::filesystem::create_directories(folder.path() + "/in1k/061417/train");
  EXPECT_EQ(PublishedImagePath(folder.path(), "/in1k/061417"),
            folder.path() + "/in1k/061417/train");
  EXPECT_EQ(PublishedImagePath("/nowhere", "in1k"), "/nowhere/in1k/train");
  EXPECT_EQ(PublishedImagePath(folder.path(), ""), folder.path());
}

}  // namespace
}  // namespace jepa
