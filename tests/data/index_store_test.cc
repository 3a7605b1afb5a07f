// Lists of images that are kept: taken while nothing changed, made again where something did.
#include "worker/jepa/data/index_store.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/file.h>

#include <atomic>
#include <filesystem>
#include <thread>

#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "tests/data/test_data.h"
#include "worker/jepa/data/index_file.h"

namespace jepa {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::TarOf;
using testing::TempFolder;

// Far enough ahead that what the test has just written is settled.
class LaterClock final : public ijepa::Clock {
 public:
  absl::Time Now() override { return absl::Now() + absl::Hours(1); }
  absl::Duration Monotonic() override {
    // Each look takes a second: waits end.
    return absl::Seconds(++looks_);
  }

 private:
  std::atomic<int64_t> looks_{0};
};

class IndexStoreTest : public ::testing::Test {
 protected:
  FoundIndex Find(const std::string& path) {
    auto found = FindIndex(path, Options());
    EXPECT_TRUE(found.ok()) << found.status();
    return found.ok() ? *std::move(found) : FoundIndex();
  }
  IndexStoreOptions Options() {
    return {.folder = store_.path() + "/index", .listing = {}, .clock = &clock_};
  }

  // Until the file system's clock has moved on, so that the next change shows in a time.
  void Tick() const {
    const std::string probe = store_.Write("tick", "");
    const auto before = fs::last_write_time(probe);
    while (fs::last_write_time(store_.Write("tick", "")) == before) {
    }
  }

  TempFolder data_;
  TempFolder store_;
  LaterClock clock_;
};

std::vector<std::string> Names(FoundIndex found) {
  return testing::NamesOf(**OpenIndex(std::move(found.index)));
}

TEST_F(IndexStoreTest, TakesWhatItKept) {
  data_.Write("b/two.jpg", "2");
  data_.Write("a/one.jpg", "1");
  const FoundIndex first = Find(data_.path());
  EXPECT_FALSE(first.was_kept);
  EXPECT_TRUE(first.is_kept) << first.why_not_kept;
  EXPECT_EQ(first.why_listed, "no index was kept");
  const FoundIndex second = Find(data_.path());
  EXPECT_TRUE(second.was_kept) << second.why_listed;
  EXPECT_EQ(second.file, first.file);
  const auto source = OpenIndex(second.index);
  EXPECT_THAT(testing::NamesOf(**source), ElementsAre("a/one.jpg", "b/two.jpg"));
  EXPECT_EQ((*source)->Read(1).value(), "2");
}

TEST_F(IndexStoreTest, KeepsTarsManifestsAndPatternsAsTheyAre) {
  data_.Write("s-0.tar", TarOf({{"b.jpg", "0b"}, {"a.jpg", "0a"}}));
  data_.Write("s-1.tar", TarOf({{"c.jpg", "1c"}}));
  data_.Write("loose/x.png", "x");
  data_.Write("list.tsv", "loose/x.png\tdog\ns-1.tar\nloose/\n");
  const std::string pattern = data_.path() + "/{s-*.tar,list.tsv}";
  const auto plain = OpenImageSource(pattern);
  ASSERT_TRUE(plain.ok()) << plain.status();
  Find(pattern);
  FoundIndex kept = Find(pattern);
  ASSERT_TRUE(kept.was_kept);
  const auto source = OpenIndex(std::move(kept.index));
  EXPECT_THAT(testing::NamesOf(**source),
              ElementsAre("s-0.tar:a.jpg", "s-0.tar:b.jpg", "s-1.tar:c.jpg", "list.tsv:loose/x.png",
                          "list.tsv:s-1.tar:c.jpg", "list.tsv:loose:x.png"));
  EXPECT_EQ(testing::NamesOf(**source), testing::NamesOf(**plain));
  EXPECT_EQ((*source)->Read(1).value(), "0b");
  EXPECT_EQ((*source)->Read(4).value(), "1c");
}

TEST_F(IndexStoreTest, ListsAgainWhatChanged) {
  data_.Write("a/one.jpg", "1");
  data_.Write("s.tar", TarOf({{"t.jpg", "t"}}));
  data_.Write("list.txt", "a/one.jpg\n");
  const std::string all = data_.path() + "/{a,s*.tar,list.txt}";
  Find(all);
  ASSERT_TRUE(Find(all).was_kept);

  Tick();
  data_.Write("a/two.jpg", "2");
  FoundIndex found = Find(all);
  EXPECT_FALSE(found.was_kept);
  EXPECT_THAT(found.why_listed, HasSubstr(data_.path() + "/a/ has changed"));
  EXPECT_EQ(found.index.images(), 4);

  Tick();
  data_.Write("s.tar", TarOf({{"t.jpg", "t"}, {"u.jpg", "u"}}));
  found = Find(all);
  EXPECT_THAT(found.why_listed, HasSubstr("s.tar has changed"));
  EXPECT_EQ(found.index.images(), 5);

  Tick();
  data_.Write("list.txt", "a/two.jpg\na/one.jpg\n");
  EXPECT_THAT(Find(all).why_listed, HasSubstr("list.txt has changed"));

  data_.Write("s-more.tar", TarOf({{"v.jpg", "v"}}));
  EXPECT_THAT(Find(all).why_listed, HasSubstr("stands for other paths"));

  fs::remove_all(data_.path() + "/a");
  EXPECT_FALSE(FindIndex(all, Options()).ok())
      << "a missing folder must not be hidden by the store";
}

TEST_F(IndexStoreTest, SeesATarOfTheSameSizeWhoseTimeWasSetBack) {
  const std::string tar = data_.Write("s.tar", TarOf({{"a.jpg", "a"}}));
  const auto time = fs::last_write_time(tar);
  Find(tar);
  Tick();
  data_.Write("s.tar", TarOf({{"b.jpg", "a"}}));
  fs::last_write_time(tar, time);
  EXPECT_THAT(Names(Find(tar)), ElementsAre("b.jpg"));
}

TEST_F(IndexStoreTest, ReplacesACorruptFileAndSaysSo) {
  data_.Write("one.jpg", "1");
  const std::string file = Find(data_.path()).file;
  const std::string good = *ijepa::ReadFile(file);
  for (const size_t at : {size_t{0}, size_t{13}, good.size() / 2, good.size() - 1}) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 0x40);
    ASSERT_TRUE(ijepa::WriteFileAtomically(file, bad).ok());
    const FoundIndex found = Find(data_.path());
    EXPECT_FALSE(found.was_kept) << at;
    EXPECT_TRUE(found.was_corrupt) << at << " " << found.why_listed;
    EXPECT_THAT(found.why_listed, HasSubstr(file));
    EXPECT_TRUE(Find(data_.path()).was_kept) << at;
  }
  for (const size_t bytes : {size_t{0}, size_t{10}, good.size() - 1}) {
    ASSERT_TRUE(ijepa::WriteFileAtomically(file, good.substr(0, bytes)).ok());
    EXPECT_TRUE(Find(data_.path()).was_corrupt) << bytes;
  }
}

TEST_F(IndexStoreTest, TakesNothingThatListsAnotherPath) {
  data_.Write("a/one.jpg", "1");
  data_.Write("b/two.jpg", "2");
  const std::string of_a = Find(data_.path() + "/a").file;
  const std::string of_b = Find(data_.path() + "/b").file;
  ASSERT_NE(of_a, of_b);
  fs::copy_file(of_a, of_b, fs::copy_options::overwrite_existing);
  FoundIndex found = Find(data_.path() + "/b");
  EXPECT_FALSE(found.was_kept);
  EXPECT_FALSE(found.was_corrupt);
  EXPECT_THAT(Names(std::move(found)), ElementsAre("two.jpg"));
}

TEST_F(IndexStoreTest, KeepsNothingThatChangedAMomentAgo) {
  data_.Write("one.jpg", "1");
  IndexStoreOptions options = Options();
  options.clock = nullptr;
  const auto found = FindIndex(data_.path(), options);
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_FALSE(found->is_kept);
  EXPECT_THAT(found->why_not_kept, HasSubstr("changed less than 2s before"));
  EXPECT_FALSE(fs::exists(found->file));
}

TEST_F(IndexStoreTest, ListsWhereTheFolderCannotBeMade) {
  data_.Write("one.jpg", "1");
  IndexStoreOptions options = Options();
  options.folder = data_.path() + "/one.jpg/index";
  const auto found = FindIndex(data_.path(), options);
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(found->index.images(), 1);
  EXPECT_FALSE(found->is_kept);
  EXPECT_THAT(found->why_not_kept, HasSubstr("one.jpg"));
}

TEST_F(IndexStoreTest, OneOfManyListsAndTheOthersTakeItsList) {
  for (int i = 0; i < 30; ++i) data_.Write(absl::StrCat(i, "/one.jpg"), "1");
  std::atomic<int> listed{0};
  std::atomic<int64_t> images{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      const FoundIndex found = Find(data_.path());
      listed += found.was_kept ? 0 : 1;
      images += found.index.images();
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(listed, 1);
  EXPECT_EQ(images, 8 * 30);
}

TEST_F(IndexStoreTest, ListsForItselfWhereTheLockIsHeldTooLong) {
  data_.Write("one.jpg", "1");
  const std::string file = Find(data_.path()).file;
  fs::remove(file);
  const ijepa::UniqueFd held(open((file + ".lock").c_str(), O_RDWR | O_CLOEXEC));
  ASSERT_EQ(flock(held.get(), LOCK_EX), 0);
  IndexStoreOptions options = Options();
  options.patience = absl::Seconds(3);
  const auto found = FindIndex(data_.path(), options);
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(found->index.images(), 1);
  EXPECT_FALSE(found->is_kept);
  EXPECT_THAT(found->why_not_kept, HasSubstr("another process has held"));
}

TEST(SourceIndexTest, IsTheSameForAnyNumberOfThreads) {
  TempFolder folder;
  for (int i = 0; i < 20; ++i) {
    for (int k = 0; k < 3; ++k) folder.Write(absl::StrCat("f", i, "/g", k, "/i.jpg"), "");
  }
  // Two ways into one folder: the shorter counts, then the first by name.
  fs::create_directory_symlink(folder.path() + "/f3/g1", folder.path() + "/z");
  fs::create_directory_symlink(folder.path() + "/f3/g1", folder.path() + "/y");
  const auto one = BuildIndex(folder.path(), {.threads = 1, .on_progress = nullptr});
  ASSERT_TRUE(one.ok()) << one.status();
  EXPECT_EQ(one->images(), 60);
  const std::string bytes = EncodeIndex("p", *one);
  EXPECT_THAT(bytes, HasSubstr("y/i.jpg"));
  IndexProgress last;
  const auto eight = BuildIndex(
      folder.path(), {.threads = 8, .on_progress = [&](const IndexProgress& p) { last = p; }});
  ASSERT_TRUE(eight.ok()) << eight.status();
  EXPECT_EQ(EncodeIndex("p", *eight), bytes);
  EXPECT_EQ(last.done, last.known);
  EXPECT_EQ(last.done, 1 + 20 + 2 + 60);
}

TEST(SourceIndexTest, NamesTheFirstTarThatIsBrokenWhateverTheThreads) {
  TempFolder folder;
  for (int i = 0; i < 10; ++i) {
    folder.Write(absl::StrCat("s-", i, ".tar"), i % 4 == 3 ? "no tar" : TarOf({{"a.jpg", "a"}}));
  }
  for (const int threads : {1, 4}) {
    const auto index = BuildIndex(folder.path() + "/s-*.tar", {threads, nullptr});
    EXPECT_THAT(std::string(index.status().message()), HasSubstr("s-3.tar"));
  }
}

}  // namespace
}  // namespace jepa
