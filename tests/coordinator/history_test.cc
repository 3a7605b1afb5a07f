// History: one suite for both engines, then what only the file has: migrations and backups.
#include "coordinator/store/history.h"

#include <gtest/gtest.h>
#include <sqlite3.h>

#include <map>
#include <memory>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/file.h"
#include "coordinator/store/memory_store.h"
#include "coordinator/store/sqlite_store.h"
#include "tests/coordinator/store_fixture.h"
#include "tests/fakes/temporary_folder.h"

namespace ijepa::coordinator {
namespace {

constexpr int kDone = 6;
constexpr int kFailed = 7;

SealedRow Row(int64_t number, int state, std::vector<std::string> labels = {}) {
  SealedRow row;
  row.number = number;
  row.id = absl::StrCat("job-", number);
  row.uid = absl::StrCat("uid-", number);
  row.state = state;
  row.end_time = absl::FromUnixSeconds(1000 + number);
  row.labels = std::move(labels);
  row.brief = absl::StrCat("b", number);
  row.record = absl::StrCat("r", number);
  return row;
}

class HistoryTest : public EitherStoreTest {
 protected:
  void SetUp() override {
    EitherStoreTest::SetUp();
    history = *store->OpenHistory();
  }

  void Seal(std::vector<SealedRow> rows) {
    Batch batch;
    batch.sealed = std::move(rows);
    ASSERT_TRUE(store->Commit(batch).ok());
  }

  std::string List(const HistoryQuery& query) {
    const auto rows = history->List(query);
    EXPECT_TRUE(rows.ok()) << rows.status();
    return absl::StrJoin(*rows, " ", [](std::string* out, const BriefRow& row) {
      absl::StrAppend(out, row.number, "=", row.brief);
    });
  }

  std::unique_ptr<History> history;
};

TEST_P(HistoryTest, FindsWhatWasSealedByIdAndUid) {
  Seal({Row(1, kDone), Row(2, kFailed)});
  EXPECT_EQ(**history->Find("job-2"), "r2");
  EXPECT_EQ(**history->FindByUid("uid-1"), "r1");
  EXPECT_FALSE(history->Find("job-3")->has_value());
  const auto counts = history->Count();
  EXPECT_EQ(counts->last_number, 2);
  EXPECT_EQ(counts->jobs_by_state, (std::map<int, int64_t>{{kDone, 1}, {kFailed, 1}}));
}

TEST_P(HistoryTest, ListsByStateAndLabelsInPages) {
  std::vector<SealedRow> rows;
  for (int i = 1; i <= 9; ++i) {
    rows.push_back(Row(i, i % 3 == 0 ? kFailed : kDone,
                       {i % 2 == 0 ? "team=a" : "team=b", absl::StrCat("run=", i)}));
  }
  Seal(rows);
  EXPECT_EQ(List({{}, {}, 0, INT64_MAX, true, 3}), "9=b9 8=b8 7=b7");
  EXPECT_EQ(List({{}, {}, 0, 7, true, 2}), "6=b6 5=b5") << "below the last of a page";
  EXPECT_EQ(List({{}, {}, 2, INT64_MAX, false, 2}), "3=b3 4=b4");
  EXPECT_EQ(List({{kFailed}, {}, 0, INT64_MAX, true, 9}), "9=b9 6=b6 3=b3");
  EXPECT_EQ(List({{kDone}, {"team=a"}, 0, INT64_MAX, true, 9}), "8=b8 4=b4 2=b2");
  EXPECT_EQ(List({{kDone, kFailed}, {"team=a"}, 0, 8, true, 2}), "6=b6 4=b4");
  EXPECT_EQ(List({{}, {"team=a", "run=6"}, 0, INT64_MAX, true, 9}), "6=b6");
  EXPECT_EQ(List({{}, {"team=c"}, 0, INT64_MAX, true, 9}), "");
}

TEST_P(HistoryTest, SealingAgainReplaces) {
  Seal({Row(1, kDone, {"a=1"})});
  SealedRow changed = Row(1, kDone, {"a=2"});
  changed.record = "changed";
  Seal({changed});
  EXPECT_EQ(**history->Find("job-1"), "changed");
  EXPECT_EQ(List({{}, {"a=1"}, 0, INT64_MAX, true, 9}), "");
  EXPECT_EQ(List({{}, {"a=2"}, 0, INT64_MAX, true, 9}), "1=b1");
}

TEST_P(HistoryTest, SealsWithTheRestOfTheBatchOrNotAtAll) {
  Batch batch;
  batch.conditions = {{"absent", "x"}};
  batch.sealed = {Row(1, kDone)};
  EXPECT_EQ(store->Commit(batch).code(), absl::StatusCode::kAborted);
  EXPECT_FALSE(history->Find("job-1")->has_value());
}

TEST_P(HistoryTest, ForgetsWhatIsOldSomeAtATime) {
  Seal({Row(1, kDone, {"a=1"}), Row(2, kDone, {"a=1"}), Row(3, kDone, {"a=1"})});
  Batch batch;
  batch.prune = Batch::Prune{absl::FromUnixSeconds(1003), 1};
  ASSERT_TRUE(store->Commit(batch).ok());
  EXPECT_EQ(List({{}, {"a=1"}, 0, INT64_MAX, true, 9}), "3=b3 2=b2");
  ASSERT_TRUE(store->Commit(batch).ok());
  ASSERT_TRUE(store->Commit(batch).ok());
  EXPECT_EQ(List({{}, {}, 0, INT64_MAX, true, 9}), "3=b3") << "it did not end before that time";
  EXPECT_FALSE(history->Find("job-1")->has_value());
}

TEST_P(HistoryTest, TellsOnceHowManyItForgot) {
  Seal({Row(1, kDone, {}), Row(2, kDone, {}), Row(3, kDone, {})});
  Batch batch;
  batch.prune = Batch::Prune{absl::FromUnixSeconds(1003), 9};
  batch.conditions = {{"absent", "value"}};
  ASSERT_FALSE(store->Commit(batch).ok());
  EXPECT_TRUE(store->TakeForgotten().empty());
  batch.conditions.clear();
  ASSERT_TRUE(store->Commit(batch).ok());
  EXPECT_EQ(store->TakeForgotten(), (std::map<int, int64_t>{{kDone, 2}}));
  EXPECT_TRUE(store->TakeForgotten().empty());
}

TEST_P(HistoryTest, TheAuditLogIsReadNewestFirstByUser) {
  Batch batch;
  for (int i = 1; i <= 4; ++i) {
    batch.audit.push_back(
        {absl::FromUnixSeconds(i), i % 2 == 0 ? "ann" : "bob", absl::StrCat("line", i)});
  }
  ASSERT_TRUE(store->Commit(batch).ok());
  using Lines = std::vector<std::pair<int64_t, std::string>>;
  EXPECT_EQ(*history->Audit(INT64_MAX, "", 2), (Lines{{4, "line4"}, {3, "line3"}}));
  EXPECT_EQ(*history->Audit(4, "ann", 9), (Lines{{2, "line2"}}));
  Batch forget;
  forget.prune = Batch::Prune{absl::FromUnixSeconds(3), 9};
  ASSERT_TRUE(store->Commit(forget).ok());
  EXPECT_EQ(*history->Audit(INT64_MAX, "", 9), (Lines{{4, "line4"}, {3, "line3"}}));
}

INSTANTIATE_TEST_SUITE_P(Engines, HistoryTest, ::testing::Values(false, true),
                         [](const auto& info) { return info.param ? "Sqlite" : "Memory"; });

// Runs SQL on the store's file while nobody has it open.
void RunSql(const std::string& folder, const std::string& sql) {
  sqlite3* db = nullptr;
  ASSERT_EQ(sqlite3_open((folder + "/coordinator.db").c_str(), &db), SQLITE_OK);
  char* error = nullptr;
  EXPECT_EQ(sqlite3_exec(db, sql.c_str(), nullptr, nullptr, &error), SQLITE_OK) << error;
  sqlite3_close(db);
}

constexpr char kSchemaOne[] =
    "CREATE TABLE kv(key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;"
    "INSERT INTO kv VALUES(x'6b', x'76'); PRAGMA user_version=1;";

TEST(MigrationsTest, BringsAnOlderFileUpToDateAndKeepsACopy) {
  TemporaryFolder folder;
  RunSql(folder.path(), kSchemaOne);
  {
    auto store = SqliteStore::Open(folder.path());
    ASSERT_TRUE(store.ok()) << store.status();
    EXPECT_EQ((*store)->Range("")->at(0).value, "v");
    Batch batch;
    batch.sealed = {Row(1, kDone)};
    EXPECT_TRUE((*store)->Commit(batch).ok());
  }
  EXPECT_TRUE(SqliteStore::Open(folder.path()).ok()) << "a file that is up to date stays so";
  // The copy is a store of the older schema: it opens, and is migrated in turn.
  TemporaryFolder older;
  const auto copy = ReadFile(folder.path() + "/coordinator.db.schema-1");
  ASSERT_TRUE(copy.ok()) << copy.status();
  ASSERT_TRUE(WriteFileAtomically(older.path() + "/coordinator.db", *copy).ok());
  auto again = SqliteStore::Open(older.path());
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ((*again)->Range("")->size(), 1);
  EXPECT_FALSE((*(*again)->OpenHistory())->Find("job-1")->has_value());
}

TEST(MigrationsTest, AStepThatFailsLeavesTheFileAsItWas) {
  TemporaryFolder folder;
  RunSql(folder.path(), absl::StrCat(kSchemaOne, "CREATE TABLE history(x);"));
  EXPECT_FALSE(SqliteStore::Open(folder.path()).ok());
  RunSql(folder.path(), "DROP TABLE history;");
  auto store = SqliteStore::Open(folder.path());
  ASSERT_TRUE(store.ok()) << store.status();
  EXPECT_EQ((*store)->Range("")->size(), 1);
}

TEST(BackupTest, IsAWholeStoreAndRefusesToOverwrite) {
  TemporaryFolder folder;
  TemporaryFolder elsewhere;
  const std::string path = elsewhere.path() + "/coordinator.db";
  auto store = *SqliteStore::Open(folder.path());
  Batch batch;
  batch.writes = {{"k", "v"}};
  batch.sealed = {Row(1, kDone)};
  ASSERT_TRUE(store->Commit(batch).ok());
  const auto bytes = store->Backup(path);
  ASSERT_TRUE(bytes.ok()) << bytes.status();
  EXPECT_GT(*bytes, 0);
  ASSERT_TRUE(store->Commit({{}, {{"later", "x"}}}).ok());
  EXPECT_EQ(store->Backup(path).status().code(), absl::StatusCode::kAlreadyExists);
  auto copy = SqliteStore::Open(elsewhere.path());
  ASSERT_TRUE(copy.ok()) << copy.status();
  EXPECT_EQ((*copy)->Range("")->size(), 1);
  EXPECT_TRUE((*(*copy)->OpenHistory())->Find("job-1")->has_value());
}

}  // namespace
}  // namespace ijepa::coordinator
