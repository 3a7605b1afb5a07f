// Many tars, few of them open.
#include "worker/jepa/data/tar_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <filesystem>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tests/data/test_data.h"

namespace jepa {
namespace {

using ::testing::HasSubstr;
using testing::TarOf;
using testing::TempFolder;

// How many files in `folder` this process has open.
size_t OpenIn(const std::string& folder) {
  size_t open = 0;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    const std::string target = std::filesystem::read_symlink(entry.path(), error).string();
    if (!error && absl::StartsWith(target, folder)) ++open;
  }
  return open;
}

// `count` tars of one image, which holds its number.
void WriteShards(const TempFolder& folder, int count) {
  for (int i = 0; i < count; ++i) {
    folder.Write(absl::StrCat("s-", 1000 + i, ".tar"), TarOf({{"a.jpg", absl::StrCat(i)}}));
  }
}

// Lowers the limit of open files to `more` above those that are open now, while it lives.
class FewOpenFiles {
 public:
  explicit FewOpenFiles(rlim_t more) {
    EXPECT_EQ(getrlimit(RLIMIT_NOFILE, &before_), 0);
    rlimit few = before_;
    few.rlim_cur = OpenIn("") + more;
    EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
  }
  ~FewOpenFiles() { setrlimit(RLIMIT_NOFILE, &before_); }

 private:
  rlimit before_{};
};

TEST(TarFilesTest, KeepsThoseUsedLastOpenAndNoMore) {
  TempFolder folder;
  WriteShards(folder, 5);
  TarFiles tars(/*max_open=*/2);
  for (int i = 0; i < 5; ++i) {
    ASSERT_TRUE(tars.Add(absl::StrCat(folder.path(), "/s-", 1000 + i, ".tar")).ok());
  }
  EXPECT_EQ(OpenIn(folder.path()), 2u);
  std::string bytes;
  for (const size_t tar : {0, 3, 0, 1, 0, 4}) {
    ASSERT_TRUE(tars.Read(tar, {512, 1}, "a.jpg", bytes).ok());
    EXPECT_EQ(bytes, absl::StrCat(tar));
    EXPECT_EQ(OpenIn(folder.path()), 2u);
  }
  // Used again and again: still the open one, so that its end goes unseen.
  std::filesystem::remove(folder.path() + "/s-1000.tar");
  EXPECT_TRUE(tars.Read(0, {512, 1}, "a.jpg", bytes).ok());
}

TEST(TarFilesTest, ManyMoreShardsThanOpenFilesAreReadByManyThreads) {
  constexpr int kShards = 120;
  TempFolder folder;
  WriteShards(folder, kShards);
  const FewOpenFiles few(/*more=*/40);
  const auto source = OpenImageSource(folder.path() + "/s-*.tar");
  ASSERT_TRUE(source.ok()) << source.status();
  ASSERT_EQ((*source)->size(), kShards);
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 8; ++thread) {
    threads.emplace_back([&, thread] {
      std::string bytes;
      for (int i = 0; i < 4 * kShards; ++i) {
        const int64_t image = (i * 37 + thread * 11) % kShards;
        const absl::Status status = (*source)->ReadInto(image, bytes);
        EXPECT_TRUE(status.ok()) << status;
        EXPECT_EQ(bytes, absl::StrCat(image));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(TarFilesTest, ATarThatIsAnotherFileNowIsRefused) {
  TempFolder folder;
  WriteShards(folder, 3);
  TarFiles tars(/*max_open=*/1);
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(tars.Add(absl::StrCat(folder.path(), "/s-", 1000 + i, ".tar")).ok());
  }
  const std::string other = folder.Write("new.tar", TarOf({{"a.jpg", "x"}}));
  std::filesystem::rename(other, folder.path() + "/s-1000.tar");
  std::filesystem::remove(folder.path() + "/s-1001.tar");
  std::string bytes;
  const absl::Status replaced = tars.Read(0, {512, 1}, "a.jpg", bytes);
  EXPECT_TRUE(absl::IsDataLoss(replaced)) << replaced;
  EXPECT_THAT(std::string(replaced.message()), HasSubstr("s-1000.tar is another file"));
  EXPECT_TRUE(absl::IsNotFound(tars.Read(1, {512, 1}, "a.jpg", bytes)));
  EXPECT_TRUE(absl::IsNotFound(tars.Add(folder.path() + "/none.tar").status()));
}

}  // namespace
}  // namespace jepa
