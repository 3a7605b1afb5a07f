// Labels from a table or from folders.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "tests/data/test_data.h"
#include "worker/jepa/data/image_source.h"

namespace jepa {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::TarBytes;
using testing::TarEnd;
using testing::TempFolder;

absl::StatusOr<std::vector<Labels>> LabelsOf(const std::string& path,
                                             const std::vector<Labels>* vocabulary = nullptr) {
  const auto source = OpenImageSource(path);
  if (!source.ok()) return source.status();
  return ReadLabels(path, **source, vocabulary);
}

TEST(LabelsTest, TakeTheNameOfTheFolderOfEachFile) {
  TempFolder folder;
  folder.Write("train/dog/1.jpg", "");
  folder.Write("train/cat/1.jpg", "");
  folder.Write("train/cat/2.jpg", "");
  folder.Write("loose.jpg", "");
  const auto labels = LabelsOf(folder.path());
  ASSERT_TRUE(labels.ok()) << labels.status();
  ASSERT_EQ(labels->size(), 1u);
  EXPECT_EQ((*labels)[0].name, "class");
  EXPECT_EQ((*labels)[0].classes, 2);
  EXPECT_THAT((*labels)[0].class_names, ElementsAre("cat", "dog"));
  EXPECT_THAT((*labels)[0].values, ElementsAre(-1, 0, 0, 1));
}

TEST(LabelsTest, ReadTheTableBesideTheImages) {
  TempFolder folder;
  for (int i = 0; i < 12; ++i) folder.Write(absl::StrCat("images/", 10 + i, ".jpg"), "");
  std::string table = "path,class,count,depth\r\n";
  for (int i = 0; i < 11; ++i) {
    absl::StrAppend(&table, "images/", 10 + i, ".jpg,",
                    i % 2 == 0 ? "\"cube, \"\"red\"\"\"" : "cone", ",", i % 3 + 9, ",", 1.5 + i,
                    "\n");
  }
  folder.Write("labels.csv", table + "images/unknown.jpg,cone,1,2.5\n");
  const auto labels = LabelsOf(folder.path());
  ASSERT_TRUE(labels.ok()) << labels.status();
  ASSERT_EQ(labels->size(), 3u);
  EXPECT_THAT((*labels)[0].class_names, ElementsAre("cone", "cube, \"red\""));
  EXPECT_THAT((*labels)[0].values, ElementsAre(1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, -1));
  EXPECT_THAT((*labels)[1].class_names, ElementsAre("9", "10", "11"));
  EXPECT_THAT((*labels)[1].values, ElementsAre(0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, -1));
  EXPECT_EQ((*labels)[2].classes, 6);
  EXPECT_THAT((*labels)[2].values, ElementsAre(0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, -1));
}

TEST(LabelsTest, ReadTheTableInsideATar) {
  TempFolder folder;
  const std::string path = folder.Write(
      "set.tar", TarBytes({"set/images/a.jpg", ""}) +
                     TarBytes({"set/labels.csv", "path,class\nimages/a.jpg,x\nimages/b.jpg,y\n"}) +
                     TarBytes({"set/images/b.jpg", ""}) + TarEnd());
  const auto labels = LabelsOf(path);
  ASSERT_TRUE(labels.ok()) << labels.status();
  EXPECT_THAT((*labels)[0].values, ElementsAre(0, 1));
}

TEST(LabelsTest, KeepTheNumbersOfTheOtherSet) {
  TempFolder fit;
  fit.Write("a.jpg", "");
  fit.Write("b.jpg", "");
  fit.Write("c.jpg", "");
  fit.Write("labels.csv", "path,class,depth\na.jpg,x,1.5\nb.jpg,y,2.5\nc.jpg,z,3.5\n");
  TempFolder test;
  test.Write("a.jpg", "");
  test.Write("b.jpg", "");
  test.Write("labels.csv", "path,depth,class\na.jpg,99,z\nb.jpg,1,new\n");
  const auto fit_labels = LabelsOf(fit.path());
  ASSERT_TRUE(fit_labels.ok());
  const auto labels = LabelsOf(test.path(), &*fit_labels);
  ASSERT_TRUE(labels.ok());
  ASSERT_EQ(labels->size(), 2u);
  EXPECT_THAT((*labels)[0].values, ElementsAre(2, -1));
  EXPECT_EQ((*labels)[0].classes, 3);
  EXPECT_THAT((*labels)[1].values, ElementsAre((*fit_labels)[1].classes - 1, 0));
}

TEST(LabelsTest, NeedTwoClasses) {
  TempFolder folder;
  folder.Write("only/1.jpg", "");
  const auto labels = LabelsOf(folder.path());
  EXPECT_TRUE(absl::IsFailedPrecondition(labels.status())) << labels.status();
}

TEST(LabelsTest, NameTheLineOfAMalformedTable) {
  TempFolder folder;
  folder.Write("a.jpg", "");
  folder.Write("labels.csv", "path,class\na.jpg,x\na.jpg,x,y\n");
  auto labels = LabelsOf(folder.path());
  EXPECT_TRUE(absl::IsInvalidArgument(labels.status()));
  EXPECT_THAT(std::string(labels.status().message()), HasSubstr("labels.csv:3"));
  folder.Write("labels.csv", "file,class\n");
  EXPECT_TRUE(absl::IsInvalidArgument(LabelsOf(folder.path()).status()));
  folder.Write("labels.csv", "path,class\na.jpg,\"x\n");
  EXPECT_TRUE(absl::IsInvalidArgument(LabelsOf(folder.path()).status()));
}

}  // namespace
}  // namespace jepa
