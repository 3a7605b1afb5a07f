// Logs: stored once however often they come, and read back line by line.
#include "coordinator/log_store.h"

#include <gtest/gtest.h>

#include <future>

#include "coordinator/log_files.h"
#include "tests/fakes/temporary_folder.h"

namespace ijepa::coordinator {
namespace {

class LogStoreTest : public ::testing::Test {
 protected:
  int64_t Append(int64_t generation, int rank, int64_t offset, const std::string& data) {
    std::promise<int64_t> stored;
    store.Append({"job", generation, rank}, offset, data,
                 [&](absl::StatusOr<int64_t> result) { stored.set_value(result.value_or(-1)); });
    return stored.get_future().get();
  }

  // One page as "rank:text" lines; moves the cursor.
  std::vector<std::string> Read(const LogQuery& query) {
    std::promise<LogPage> read;
    store.Read(query, cursor, [&](absl::StatusOr<LogPage> page) {
      read.set_value(page.ok() ? *std::move(page) : LogPage());
    });
    LogPage page = read.get_future().get();
    cursor = page.cursor;
    std::vector<std::string> lines;
    for (const v1::LogLine& line : page.lines.lines()) {
      lines.push_back(std::to_string(line.rank()) + ":" + line.text());
    }
    return lines;
  }

  static LogQuery Query() {
    LogQuery query;
    query.job = "job";
    return query;
  }

  using Lines = std::vector<std::string>;
  TemporaryFolder folder;
  LogStore store{{folder.path(), 1000}, Clock::Real()};
  LogCursor cursor;
};

TEST_F(LogStoreTest, StoresAChunkOnceAndNamesWhatIsMissing) {
  EXPECT_EQ(Append(1, 0, 0, "one\n"), 4);
  EXPECT_EQ(Append(1, 0, 0, "one\n"), 4) << "the same again";
  EXPECT_EQ(Append(1, 0, 2, "e\ntwo\n"), 8) << "an overlap";
  EXPECT_EQ(Append(1, 0, 20, "gap\n"), 8) << "a gap";
  EXPECT_EQ(*ReadFile(folder.path() + "/job/g1-r0.log"), "one\ntwo\n");
}

TEST_F(LogStoreTest, DropsWhatIsPastTheLimitOfAFile) {
  EXPECT_EQ(Append(1, 0, 0, std::string(1000, 'x')), 1000);
  EXPECT_EQ(Append(1, 0, 1000, "more"), 1004) << "acknowledged, so that the worker goes on";
  EXPECT_EQ(ReadFile(folder.path() + "/job/g1-r0.log")->size(), 1000);
}

TEST_F(LogStoreTest, ReadsOnFromTheCursorAndKeepsUnfinishedLinesBack) {
  Append(1, 0, 0, "a\nb");
  EXPECT_EQ(Read(Query()), Lines{"0:a"});
  EXPECT_TRUE(Read(Query()).empty());
  Append(1, 0, 3, "c\nd");
  Append(1, 1, 0, "x\n");
  EXPECT_EQ(Read(Query()), (Lines{"0:bc", "1:x"}));
  LogQuery last = Query();
  last.complete = true;
  EXPECT_EQ(Read(last), Lines{"0:d"});
  EXPECT_TRUE(Read(last).empty());
}

TEST_F(LogStoreTest, ALineThatIsNotUtf8CanBeSent) {
  Append(1, 0, 0, "caf\xe9\n");
  EXPECT_EQ(Read(Query()), Lines{"0:caf\xef\xbf\xbd"});
  EXPECT_EQ(*ReadFile(folder.path() + "/job/g1-r0.log"), "caf\xe9\n") << "kept as it came";
}

TEST_F(LogStoreTest, SelectsRanksAndGeneration) {
  Append(1, 0, 0, "g1\n");
  Append(2, 0, 0, "g2\n");
  Append(2, 1, 0, "other\n");
  LogQuery query = Query();
  query.generation = 2;
  query.ranks = {0};
  EXPECT_EQ(Read(query), Lines{"0:g2"});
}

TEST_F(LogStoreTest, StartsAtTheLastLinesOfEachRankOverGenerations) {
  Append(1, 0, 0, "1\n2\n3\n");
  Append(2, 0, 0, "4\n");
  Append(2, 1, 0, "x\ny\nz");
  LogQuery query = Query();
  query.tail_lines = 2;
  query.complete = true;
  EXPECT_EQ(Read(query), (Lines{"0:3", "0:4", "1:y", "1:z"}));
  EXPECT_TRUE(Read(query).empty());
}

TEST_F(LogStoreTest, TakesTheTimeFromALineThatBeginsWithOne) {
  Append(1, 0, 0, "2026-11-22T03:57:49.705Z I coordinator] text\nno time\n");
  std::promise<LogPage> read;
  store.Read(Query(), {}, [&](absl::StatusOr<LogPage> page) { read.set_value(*page); });
  const LogPage page = read.get_future().get();
  ASSERT_EQ(page.lines.lines_size(), 2);
  EXPECT_EQ(page.lines.lines(0).time().nanos(), 705000000);
  EXPECT_FALSE(page.lines.lines(1).has_time());
}

TEST_F(LogStoreTest, WakesWhoWaitsForTheJob) {
  std::promise<void> woken;
  store.WaitForAppend("job", absl::InfiniteDuration(), [&] { woken.set_value(); });
  Append(1, 0, 0, "a\n");
  woken.get_future().get();
  std::promise<void> late;
  store.WaitForAppend("job", absl::Milliseconds(1), [&] { late.set_value(); });
  late.get_future().get();
}

TEST_F(LogStoreTest, CutsALineThatIsLongerThanAPage) {
  TemporaryFolder other;
  const LogFile file{1, 0, other.path() + "/g1-r0.log"};
  ASSERT_TRUE(WriteFileAtomically(file.path, std::string(25, 'x') + "\nend\n").ok());
  v1::LogLines lines;
  int64_t offset = 0;
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(ReadLines(file, 10, false, offset, lines).ok());
  ASSERT_EQ(lines.lines_size(), 4);
  EXPECT_EQ(lines.lines(2).text(), "xxxxx");
  EXPECT_EQ(lines.lines(3).text(), "end");
}

}  // namespace
}  // namespace ijepa::coordinator
