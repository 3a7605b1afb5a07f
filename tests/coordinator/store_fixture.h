// A store of either engine: the parameter says whether it is SQLite in a folder, or memory.
#ifndef IJEPA_TESTS_COORDINATOR_STORE_FIXTURE_H_
#define IJEPA_TESTS_COORDINATOR_STORE_FIXTURE_H_

#include <gtest/gtest.h>

#include <memory>

#include "coordinator/store/memory_store.h"
#include "coordinator/store/sqlite_store.h"
#include "tests/fakes/temporary_folder.h"

namespace ijepa::coordinator {

class EitherStoreTest : public ::testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    if (GetParam()) {
      store = *SqliteStore::Open(folder.path());
    } else {
      store = std::make_unique<MemoryStore>();
    }
  }

  TemporaryFolder folder;
  std::unique_ptr<Store> store;
};

}  // namespace ijepa::coordinator

#endif  // IJEPA_TESTS_COORDINATOR_STORE_FIXTURE_H_
