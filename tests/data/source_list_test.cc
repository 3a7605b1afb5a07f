// Patterns, several sources as one, manifests, WebDataset labels.
#include "worker/jepa/data/source_list.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/data/test_data.h"

namespace jepa {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::NamesOf;
using testing::TarOf;
using testing::TempFolder;

TEST(SourceListTest, ExpandsBracesInOrderAndWildcardsSorted) {
  TempFolder folder;
  for (const char* name : {"s-10.tar", "s-09.tar", "other.tar"}) folder.Write(name, "");
  const std::string at = folder.path() + "/";
  EXPECT_THAT(ExpandPattern("/d/s-{008..010}.tar").value(),
              ElementsAre("/d/s-008.tar", "/d/s-009.tar", "/d/s-010.tar"));
  EXPECT_THAT(ExpandPattern("/{b,a}/{1..2}").value(), ElementsAre("/b/1", "/b/2", "/a/1", "/a/2"));
  EXPECT_THAT(ExpandPattern(at + "s-*.tar").value(), ElementsAre(at + "s-09.tar", at + "s-10.tar"));
  EXPECT_TRUE(absl::IsNotFound(ExpandPattern(at + "t-*.tar").status()));
  EXPECT_TRUE(absl::IsInvalidArgument(ExpandPattern("/d/{1..2").status()));
  EXPECT_TRUE(absl::IsInvalidArgument(ExpandPattern("/d/{1..9999999}").status()));
  EXPECT_TRUE(absl::IsInvalidArgument(ExpandPattern("/{0..999}{0..999}{0..9}").status()));
}

TEST(SourceListTest, JoinsTarsAndFoldersInTheOrderGiven) {
  TempFolder folder;
  folder.Write("s-0.tar", TarOf({{"b.jpg", "0b"}, {"a.jpg", "0a"}}));
  folder.Write("s-1.tar", TarOf({{"a.jpg", "1a"}}));
  folder.Write("loose/x.png", "x");
  const auto source = OpenImageSource(folder.path() + "/{s-{0..1}.tar,loose}");
  EXPECT_FALSE(source.ok());  // Braces do not nest.
  const auto joined = OpenImageSource(folder.path() + "/{s-1.tar,loose,s-0.tar}");
  ASSERT_TRUE(joined.ok()) << joined.status();
  EXPECT_THAT(NamesOf(**joined),
              ElementsAre("s-1.tar:a.jpg", "loose:x.png", "s-0.tar:a.jpg", "s-0.tar:b.jpg"));
  EXPECT_EQ((*joined)->Read(0).value(), "1a");
  EXPECT_EQ((*joined)->Read(1).value(), "x");
  EXPECT_EQ((*joined)->Read(3).value(), "0b");
}

TEST(SourceListTest, ReadsAManifestInItsOrderWithItsLabels) {
  TempFolder folder;
  folder.Write("in/z.jpg", "z");
  folder.Write("in/a.jpg", "a");
  folder.Write("s.tar", TarOf({{"t.jpg", "t"}, {"t.cls", "dog\n"}}));
  const std::string absolute = folder.Write("abs, \"olute\".png", "p");
  const std::string list = folder.Write(
      "list.txt", "# a comment\nin/z.jpg\tdog\r\n\ns.tar\nin/a.jpg\tcat\n" + absolute + "\n");
  const auto source = OpenImageSource(list);
  ASSERT_TRUE(source.ok()) << source.status();
  EXPECT_THAT(NamesOf(**source), ElementsAre("in/z.jpg", "s.tar:t.jpg", "in/a.jpg", absolute));
  EXPECT_EQ((*source)->Read(0).value(), "z");
  EXPECT_EQ((*source)->Read(1).value(), "t");
  EXPECT_EQ((*source)->Read(3).value(), "p");
  const auto labels = ReadLabels(list, **source);
  ASSERT_TRUE(labels.ok()) << labels.status();
  ASSERT_EQ(labels->size(), 1u);
  EXPECT_THAT((*labels)[0].class_names, ElementsAre("cat", "dog"));
  EXPECT_THAT((*labels)[0].values, ElementsAre(1, 1, 0, -1));
}

TEST(SourceListTest, RefusesAManifestLineThatIsNoImage) {
  TempFolder folder;
  const auto source = OpenImageSource(folder.Write("list.tsv", "a.jpg\nnotes.md\tx\n"));
  EXPECT_TRUE(absl::IsInvalidArgument(source.status())) << source.status();
  EXPECT_THAT(std::string(source.status().message()), HasSubstr("list.tsv:2: \"notes.md\""));
}

TEST(SourceListTest, TakesWebDatasetLabelsOfSeveralTars) {
  TempFolder folder;
  folder.Write("s-0.tar", TarOf({{"000.jpg", ""},
                                 {"000.cls", "7\n"},
                                 {"001.seg.png", ""},
                                 {"001.json", "{\"label\": 3, \"text\": \"x\"}"}}));
  folder.Write(
      "s-1.tar",
      TarOf({{"000.json", "broken {"}, {"000.jpg", ""}, {"d/001.jpeg", ""}, {"d/001.cls", "3"}}));
  const std::string pattern = folder.path() + "/s-*.tar";
  const auto source = OpenImageSource(pattern);
  ASSERT_TRUE(source.ok()) << source.status();
  const auto labels = ReadLabels(pattern, **source);
  ASSERT_TRUE(labels.ok()) << labels.status();
  EXPECT_THAT((*labels)[0].class_names, ElementsAre("3", "7"));
  EXPECT_THAT((*labels)[0].values, ElementsAre(1, 0, -1, 0));
}

}  // namespace
}  // namespace jepa
