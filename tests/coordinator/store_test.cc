// One suite for both engines, and what only the file can show: a crash, a second process, a newer
// schema.
#include "coordinator/store/store.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "coordinator/store/memory_store.h"
#include "coordinator/store/sqlite_store.h"
#include "coordinator/store/wal_mover.h"
#include "tests/coordinator/store_fixture.h"
#include "tests/fakes/temporary_folder.h"

namespace ijepa::coordinator {
namespace {

class StoreTest : public EitherStoreTest {
 protected:
  std::string All() {
    std::string text;
    const auto pairs = store->Range("");
    for (const KeyValue& pair : *pairs) absl::StrAppend(&text, pair.key, "=", pair.value, ";");
    return text;
  }
};

TEST_P(StoreTest, PutsDeletesAndReadsByPrefixInOrder) {
  ASSERT_TRUE(store->Commit({{}, {{"b/2", "two"}, {"b/1", "one"}, {"a", "x"}, {"c", ""}}}).ok());
  const auto pairs = store->Range("b/");
  ASSERT_TRUE(pairs.ok());
  ASSERT_EQ(pairs->size(), 2);
  EXPECT_EQ(pairs->at(0).key, "b/1");
  EXPECT_EQ(pairs->at(1).value, "two");
  ASSERT_TRUE(store->Commit({{}, {{"b/1", std::nullopt}, {"nothing", std::nullopt}}}).ok());
  EXPECT_EQ(All(), "a=x;b/2=two;c=;");
}

TEST_P(StoreTest, LaterWritesOfABatchWin) {
  ASSERT_TRUE(store->Commit({{}, {{"k", "1"}, {"k", std::nullopt}, {"k", "2"}}}).ok());
  EXPECT_EQ(All(), "k=2;");
}

TEST_P(StoreTest, ABatchWhoseConditionFailsChangesNothing) {
  ASSERT_TRUE(store->Commit({{{"k", std::nullopt}}, {{"k", "1"}}}).ok());
  EXPECT_EQ(store->Commit({{{"k", "0"}}, {{"k", "2"}, {"l", "2"}}}).code(),
            absl::StatusCode::kAborted);
  EXPECT_EQ(store->Commit({{{"k", std::nullopt}}, {{"l", "2"}}}).code(),
            absl::StatusCode::kAborted);
  EXPECT_EQ(store->Commit({{{"absent", ""}}, {{"l", "2"}}}).code(), absl::StatusCode::kAborted);
  EXPECT_EQ(All(), "k=1;");
  EXPECT_TRUE(store->Commit({{{"k", "1"}}, {{"k", "2"}}}).ok());
  EXPECT_EQ(All(), "k=2;");
}

TEST_P(StoreTest, KeepsBytesAsTheyAre) {
  const std::string bytes("\0\xff\n%_'", 6);
  ASSERT_TRUE(store->Commit({{}, {{bytes, bytes}}}).ok());
  const auto pairs = store->Range(bytes.substr(0, 2));
  ASSERT_EQ(pairs->size(), 1);
  EXPECT_EQ(pairs->at(0).key, bytes);
  EXPECT_EQ(pairs->at(0).value, bytes);
}

INSTANTIATE_TEST_SUITE_P(Engines, StoreTest, ::testing::Values(false, true),
                         [](const auto& info) { return info.param ? "Sqlite" : "Memory"; });

TEST(SqliteStoreTest, WhatWasCommittedSurvivesAKilledProcess) {
  TemporaryFolder folder;
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  const pid_t child = fork();
  if (child == 0) {
    auto store = SqliteStore::Open(folder.path());
    for (int i = 0; i < 10; ++i) {
      if (!(*store)->Commit({{}, {{absl::StrCat("k", i), "v"}}}).ok()) _exit(1);
    }
    if (write(ready[1], "x", 1) != 1) _exit(1);
    pause();
    _exit(0);
  }
  char byte;
  ASSERT_EQ(read(ready[0], &byte, 1), 1);
  const absl::Status busy = SqliteStore::Open(folder.path()).status();
  EXPECT_EQ(busy.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(absl::StrContains(busy.message(), absl::StrCat("pid ", child))) << busy;
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  auto store = SqliteStore::Open(folder.path());
  ASSERT_TRUE(store.ok()) << store.status();
  EXPECT_EQ((*store)->Range("k")->size(), 10);
  close(ready[0]);
  close(ready[1]);
}

TEST(SqliteStoreTest, RefusesANewerSchema) {
  TemporaryFolder folder;
  ASSERT_TRUE(SqliteStore::Open(folder.path()).ok());
  sqlite3* db = nullptr;
  ASSERT_EQ(sqlite3_open((folder.path() + "/coordinator.db").c_str(), &db), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(db, "PRAGMA user_version=99", nullptr, nullptr, nullptr), SQLITE_OK);
  sqlite3_close(db);
  const absl::Status status = SqliteStore::Open(folder.path()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(absl::StrContains(status.message(), "schema 99")) << status;
}

TEST(SqliteStoreTest, SaysThatAFileIsNoDatabase) {
  TemporaryFolder folder;
  ASSERT_TRUE(WriteFileAtomically(folder.path() + "/coordinator.db", std::string(4096, 'x')).ok());
  EXPECT_EQ(SqliteStore::Open(folder.path()).status().code(), absl::StatusCode::kDataLoss);
}

// The log begins anew while commits go on: it never holds what so many commits have written.
TEST(SqliteStoreTest, ItsLogStaysShortHoweverMuchIsCommitted) {
  TemporaryFolder folder;
  auto store = SqliteStore::Open(folder.path());
  ASSERT_TRUE(store.ok()) << store.status();
  constexpr size_t kCommitBytes = 2 << 20;
  constexpr size_t kMostLogBytes = 8000 * 4120 + kCommitBytes;
  // What is there already would not be written again.
  char byte = 'a';
  for (size_t written = 0; written < 2 * kMostLogBytes; written += kCommitBytes) {
    byte = byte == 'a' ? 'b' : 'a';
    ASSERT_TRUE((*store)->Commit({{}, {{"k", std::string(kCommitBytes, byte)}}}).ok());
  }
  const auto bytes = std::filesystem::file_size(folder.path() + "/coordinator.db-wal");
  EXPECT_LE(bytes, kMostLogBytes + 2 * kCommitBytes);
}

TEST(WalMoverTest, MovesWhatAnotherConnectionCommitted) {
  TemporaryFolder folder;
  auto store = SqliteStore::Open(folder.path());
  ASSERT_TRUE(store.ok()) << store.status();
  ASSERT_TRUE((*store)->Commit({{}, {{"k", std::string(1 << 20, 'x')}}}).ok());
  auto mover = WalMover::Start(folder.path() + "/coordinator.db");
  ASSERT_TRUE(mover.ok()) << mover.status();
  EXPECT_EQ((*mover)->Moved(), 0);
  (*mover)->Wake();
  (*mover)->Wait();
  const std::optional<int> moved = (*mover)->Moved();
  ASSERT_TRUE(moved.has_value());
  EXPECT_GE(*moved, 256);
  EXPECT_GE(std::filesystem::file_size(folder.path() + "/coordinator.db"), 1 << 20);
  (*mover)->LogBegan();
  EXPECT_EQ((*mover)->Moved(), 0);
}

}  // namespace
}  // namespace ijepa::coordinator
