#include "common/file.h"

#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/fakes/temporary_folder.h"

namespace ijepa {
namespace {

using ::testing::HasSubstr;

class FileTest : public ::testing::Test {
 protected:
  void SetUp() override { folder_ = MakeTemporaryFolder(); }
  void TearDown() override { ASSERT_TRUE(RemoveTree(folder_).ok()); }

  int FilesInFolder() const {
    int count = 0;
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(folder_)) ++count;
    return count;
  }

  std::string folder_;
};

TEST_F(FileTest, AtomicWriteReplacesTheWholeFileAndLeavesNothingBeside) {
  const std::string path = folder_ + "/state";
  ASSERT_TRUE(WriteFileAtomically(path, std::string(100000, 'a')).ok());
  ASSERT_TRUE(WriteFileAtomically(path, "b").ok());
  EXPECT_EQ(ReadFile(path).value(), "b");
  EXPECT_EQ(FilesInFolder(), 1);
}

TEST_F(FileTest, AtomicWriteIntoAMissingFolderNamesThePathAndWritesNothing) {
  const absl::Status status = WriteFileAtomically(folder_ + "/none/state", "x");
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()), HasSubstr(folder_ + "/none/state"));
  EXPECT_EQ(FilesInFolder(), 0);
}

TEST_F(FileTest, FailedReplacementKeepsTheOldContentAndRemovesItsTemporaryFile) {
  const std::string path = folder_ + "/taken";
  ASSERT_TRUE(MakeFolders(path + "/inside").ok());  // A folder cannot be replaced by a file.
  EXPECT_FALSE(WriteFileAtomically(path, "x").ok());
  EXPECT_TRUE(std::filesystem::is_directory(path + "/inside"));
  EXPECT_EQ(FilesInFolder(), 1);
}

TEST_F(FileTest, ReadingAMissingFileIsNotFound) {
  EXPECT_EQ(ReadFile(folder_ + "/none").status().code(), absl::StatusCode::kNotFound);
}

TEST(ErrnoStatusTest, FullDiskIsResourceExhausted) {
  const absl::Status status = ErrnoStatus(ENOSPC, "writing", "/data/part");
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(status.message()), HasSubstr("writing /data/part: No space left"));
}

TEST(UniqueFdTest, MovedFromOwnsNothing) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  UniqueFd read_end(ends[0]);
  UniqueFd moved = std::move(read_end);
  EXPECT_FALSE(read_end.valid());
  EXPECT_EQ(moved.get(), ends[0]);
  moved.Reset();
  char byte = 0;
  ::close(ends[1]);
  EXPECT_EQ(::read(ends[0], &byte, 1), -1);  // Closed.
}

}  // namespace
}  // namespace ijepa
