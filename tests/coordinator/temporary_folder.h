// A folder that goes with the test.
#ifndef IJEPA_TESTS_COORDINATOR_TEMPORARY_FOLDER_H_
#define IJEPA_TESTS_COORDINATOR_TEMPORARY_FOLDER_H_

#include <stdlib.h>

#include <string>

#include "common/check.h"
#include "common/file.h"

namespace ijepa::coordinator {

class TemporaryFolder {
 public:
  TemporaryFolder() {
    char pattern[] = "/tmp/ijepa-coordinator-XXXXXX";
    IJEPA_CHECK(mkdtemp(pattern) != nullptr);
    path_ = pattern;
  }
  ~TemporaryFolder() { static_cast<void>(RemoveTree(path_)); }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace ijepa::coordinator

#endif  // IJEPA_TESTS_COORDINATOR_TEMPORARY_FOLDER_H_
