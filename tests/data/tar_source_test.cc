// Tars of all dialects, and tars that lie.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>

#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "tests/data/test_data.h"
#include "worker/jepa/data/image_source.h"
#include "worker/jepa/data/tar_index.h"
#include "worker/jepa/plan/random.h"

namespace jepa {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::NamesOf;
using testing::TarBytes;
using testing::TarEnd;
using testing::TarEntry;
using testing::TempFolder;

absl::StatusOr<std::unique_ptr<ImageSource>> Open(const TempFolder& folder,
                                                  const std::string& bytes) {
  return OpenImageSource(folder.Write("images.tar", bytes));
}

std::string PaxRecord(const std::string& key, const std::string& value) {
  const std::string rest = absl::StrCat(" ", key, "=", value, "\n");
  size_t length = rest.size();
  while (absl::StrCat(length).size() + rest.size() != length) {
    length = absl::StrCat(length).size() + rest.size();
  }
  return absl::StrCat(length, rest);
}

TEST(TarSourceTest, ReadsMembersByNameInPlace) {
  TempFolder folder;
  const auto source = Open(folder, TarBytes({"./b/two.jpg", "second"}) + TarBytes({"b", "", '5'}) +
                                       TarBytes({"a/one.png", std::string(513, 'x')}) +
                                       TarBytes({"notes.txt", "no"}) + TarEnd());
  ASSERT_TRUE(source.ok()) << source.status();
  ASSERT_EQ((*source)->size(), 2);
  EXPECT_EQ((*source)->name(0), "a/one.png");
  EXPECT_EQ((*source)->Read(0).value(), std::string(513, 'x'));
  EXPECT_EQ((*source)->name(1), "b/two.jpg");
  EXPECT_EQ((*source)->Read(1).value(), "second");
}

TEST(TarSourceTest, UnderstandsLongNamesOfEveryDialect) {
  TempFolder folder;
  const std::string longer = std::string(150, 'd') + "/gnu.jpg";
  const std::string pax = std::string(300, 'p') + "/pax.jpg";
  TarEntry with_prefix{"name.jpg", "u"};
  with_prefix.prefix = "pre/fix";
  TarEntry gnu{"short.jpg", "g"};
  gnu.gnu = true;
  const auto source =
      Open(folder, TarBytes(with_prefix) + TarBytes({"././@LongLink", longer + '\0', 'L'}) +
                       TarBytes(gnu) + TarBytes({"h", PaxRecord("mtime", "1.5"), 'g'}) +
                       TarBytes({"x", PaxRecord("mtime", "1") + PaxRecord("path", pax), 'x'}) +
                       TarBytes({"cut.jpg", "p"}) + TarBytes({"plain.jpg", "-"}) + TarEnd());
  ASSERT_TRUE(source.ok()) << source.status();
  ASSERT_EQ((*source)->size(), 4);
  EXPECT_EQ((*source)->name(0), longer);
  EXPECT_EQ((*source)->name(1), "plain.jpg");
  EXPECT_EQ((*source)->name(2), pax);
  EXPECT_EQ((*source)->name(3), "pre/fix/name.jpg");
}

TEST(TarSourceTest, TakesPaxAndBase256Sizes) {
  TempFolder folder;
  TarEntry pax{"a.jpg", "123456"};
  pax.raw_size = "00000000000";
  TarEntry binary{"b.jpg", "12345"};
  binary.raw_size = std::string("\x80\0\0\0\0\0\0\0\0\0\0\5", 12);
  const auto source = Open(folder, TarBytes({"x", PaxRecord("size", "6"), 'x'}) + TarBytes(pax) +
                                       TarBytes(binary) + TarEnd());
  ASSERT_TRUE(source.ok()) << source.status();
  EXPECT_EQ((*source)->Read(0).value(), "123456");
  EXPECT_EQ((*source)->Read(1).value(), "12345");
}

TEST(TarSourceTest, KeepsTheLastOfMembersOfOneName) {
  TempFolder folder;
  const auto source =
      Open(folder, TarBytes({"a.jpg", "old"}) + TarBytes({"a.jpg", "new"}) + TarEnd());
  ASSERT_TRUE(source.ok());
  ASSERT_EQ((*source)->size(), 1);
  EXPECT_EQ((*source)->Read(0).value(), "new");
}

TEST(TarSourceTest, PassesOverLinksAndSparseFiles) {
  TempFolder folder;
  TarEntry link{"link.jpg", "", '2'};
  link.raw_size = "00000777777";
  const auto source =
      Open(folder, TarBytes(link) + TarBytes({"x", PaxRecord("GNU.sparse.major", "1"), 'x'}) +
                       TarBytes({"sparse.jpg", "map"}) + TarBytes({"a.jpg", "1"}) + TarEnd());
  ASSERT_TRUE(source.ok()) << source.status();
  ASSERT_EQ((*source)->size(), 1);
  EXPECT_EQ((*source)->name(0), "a.jpg");
}

TEST(TarSourceTest, RefusesHeadersThatLie) {
  TempFolder folder;
  const std::string good = TarBytes({"a.jpg", "1"});
  std::vector<std::string> sizes = {"77777777777",
                                    "00000002000",
                                    "0000000000x",
                                    std::string("\x80\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"),
                                    std::string("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"),
                                    std::string("\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff", 12)};
  for (const std::string& size : sizes) {
    TarEntry entry{"b.jpg", "1"};
    entry.raw_size = size;
    const auto source = Open(folder, good + TarBytes(entry));
    EXPECT_TRUE(absl::IsDataLoss(source.status())) << size << ": " << source.status();
  }
  std::string broken = TarBytes({"b.jpg", "1"});
  broken[10] ^= 1;
  EXPECT_TRUE(absl::IsDataLoss(Open(folder, good + broken).status()));
  for (const std::string records : {"999 path=x\n", "5 a=b", "x path=a\n", "9 pathab\n", "3 \n"}) {
    const auto source = Open(folder, TarBytes({"x", records, 'x'}) + good);
    EXPECT_TRUE(absl::IsDataLoss(source.status())) << records;
  }
}

TEST(TarSourceTest, SaysThatATarIsCutShort) {
  TempFolder folder;
  const std::string whole = TarBytes({"a.jpg", std::string(2000, 'x')}) + TarEnd();
  const auto source = Open(folder, whole.substr(0, 1500));
  EXPECT_TRUE(absl::IsDataLoss(source.status()));
  EXPECT_THAT(std::string(source.status().message()), HasSubstr("ends beyond the file"));
}

// Between members, in headers, data, padding and names, at every block and beside it.
TEST(TarSourceTest, TakesNoTarThatIsCutAnywhereBeforeItsEndMark) {
  TempFolder folder;
  const std::string name = std::string(150, 'n') + ".jpg";
  const std::string members =
      TarBytes({"a.jpg", std::string(700, 'x')}) + TarBytes({"././@LongLink", name + '\0', 'L'}) +
      TarBytes({"cut", std::string(512, 'y')}) + TarBytes({"c.jpg", ""}) +
      TarBytes({"x", PaxRecord("path", "d.jpg"), 'x'}) + TarBytes({"cut", "z"});
  ASSERT_EQ(members.size() % 512, 0u);
  const std::string whole = members + TarEnd();
  for (size_t block = 512; block <= members.size(); block += 512) {
    for (const size_t size : {block, block + 1, block + 511}) {
      const absl::Status status = Open(folder, whole.substr(0, size)).status();
      EXPECT_TRUE(absl::IsDataLoss(status)) << size << ": " << status;
    }
  }
  // Nothing of the members is missing with the first block of the mark, nor behind the mark.
  for (const std::string& bytes : {whole.substr(0, members.size() + 512), whole, whole + "tail"}) {
    const auto source = Open(folder, bytes);
    ASSERT_TRUE(source.ok()) << source.status();
    EXPECT_THAT(NamesOf(**source), ElementsAre("a.jpg", "c.jpg", "d.jpg", name));
  }
}

TEST(TarSourceTest, SaysHowToTakeATarWithoutEndMark) {
  TempFolder folder;
  const std::string bytes = TarBytes({"a.jpg", "1"});
  const absl::Status status = Open(folder, bytes).status();
  EXPECT_THAT(std::string(status.message()), HasSubstr("without tar's end mark"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("head -c 1024 /dev/zero >> FILE"));
  EXPECT_TRUE(Open(folder, bytes + std::string(1024, '\0')).ok());
}

TEST(TarSourceTest, NamesCompressionAndOtherFiles) {
  TempFolder folder;
  auto source = Open(folder, "\x1f\x8b\x08" + std::string(2000, 'x'));
  EXPECT_TRUE(absl::IsFailedPrecondition(source.status()));
  EXPECT_THAT(std::string(source.status().message()), HasSubstr("gzip"));
  source = Open(folder, std::string(2000, 'x'));
  EXPECT_THAT(std::string(source.status().message()), HasSubstr("neither a folder nor a tar"));
  source = Open(folder, "short");
  EXPECT_THAT(std::string(source.status().message()), HasSubstr("neither a folder nor a tar"));
  source = Open(folder, TarEnd());
  EXPECT_THAT(std::string(source.status().message()), HasSubstr("has no .jpg"));
}

TEST(TarSourceTest, SurvivesAnyDamage) {
  const std::string whole =
      TarBytes({"././@LongLink", std::string(200, 'n') + ".jpg", 'L'}) + TarBytes({"a.jpg", "1"}) +
      TarBytes({"x", PaxRecord("path", "p.jpg"), 'x'}) + TarBytes({"b.jpg", "22"}) + TarEnd();
  Philox random(1, Purpose::kProbe, 0, 0);
  for (int round = 0; round < 2000; ++round) {
    std::string damaged = whole.substr(0, random.Below(static_cast<uint32_t>(whole.size()) + 1));
    // Most damage would only break the checksum: mend it in half of the rounds.
    for (uint32_t i = 0; i < 4 && !damaged.empty(); ++i) {
      damaged[random.Below(static_cast<uint32_t>(damaged.size()))] =
          static_cast<char>(random.Below(256));
    }
    for (size_t at = 0; round % 2 == 0 && at + 512 <= damaged.size(); at += 512) {
      uint32_t sum = 8 * ' ';
      for (size_t i = 0; i < 512; ++i) {
        if (i < 148 || i >= 156) sum += static_cast<uint8_t>(damaged[at + i]);
      }
      for (int digit = 5; digit >= 0; --digit, sum /= 8) {
        damaged[at + 148 + digit] = static_cast<char>('0' + sum % 8);
      }
      damaged[at + 154] = '\0';
    }
    const ijepa::UniqueFd file(memfd_create("tar", MFD_CLOEXEC));
    ASSERT_TRUE(ijepa::WriteAll(file.get(), damaged, "tar").ok());
    ScanTar(file.get(), "tar", [&](const TarMember& member) {
      EXPECT_LE(member.offset, damaged.size());
      EXPECT_LE(member.bytes, damaged.size() - member.offset);
    }).IgnoreError();
  }
}

TEST(TarSourceTest, ReadsTheSharedCifarTar) {
  const std::string path = testing::SharedData("cifar10-test-5k.tar");
  if (path.empty()) GTEST_SKIP() << "cifar10-test-5k.tar is not there";
  const auto source = OpenImageSource(path);
  ASSERT_TRUE(source.ok()) << source.status();
  EXPECT_EQ((*source)->size(), 5000);
  const auto bytes = (*source)->Read(4999);
  ASSERT_TRUE(bytes.ok());
  EXPECT_EQ(bytes->substr(0, 3), "\xff\xd8\xff");
}

}  // namespace
}  // namespace jepa
