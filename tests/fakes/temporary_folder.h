// A folder that goes with the test.
#ifndef IJEPA_TESTS_FAKES_TEMPORARY_FOLDER_H_
#define IJEPA_TESTS_FAKES_TEMPORARY_FOLDER_H_

#include <cstdlib>
#include <filesystem>
#include <string>

#include "common/check.h"
#include "common/file.h"

namespace ijepa {

// A new, empty folder, for the caller to remove.
inline std::string MakeTemporaryFolder() {
  const std::string placeholder(6, 'X');  // What mkdtemp replaces.
  std::string path = std::filesystem::temp_directory_path() / ("ijepa-test-" + placeholder);
  IJEPA_CHECK(mkdtemp(path.data()) != nullptr);
  return path;
}

class TemporaryFolder {
 public:
  TemporaryFolder() : path_(MakeTemporaryFolder()) {}
  ~TemporaryFolder() { static_cast<void>(RemoveTree(path_)); }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace ijepa

#endif  // IJEPA_TESTS_FAKES_TEMPORARY_FOLDER_H_
