// A folder that is made aside and appears whole under its name, or not at all.
#ifndef IJEPA_WORKER_JEPA_EXCHANGE_NEW_FOLDER_H_
#define IJEPA_WORKER_JEPA_EXCHANGE_NEW_FOLDER_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace jepa {

// Removes what it made unless Commit succeeded. Movable.
class NewFolder {
 public:
  // Makes "DIR.new" beside `path`. Returns AlreadyExists if `path` is there and `replace` is false;
  // FailedPrecondition if it holds anything that no import or export writes, which is never
  // removed.
  static absl::StatusOr<NewFolder> Make(const std::string& path, bool replace);
  NewFolder(NewFolder&& other) noexcept;
  NewFolder& operator=(NewFolder&&) = delete;
  ~NewFolder();

  // Where to write.
  const std::string& aside() const { return aside_; }
  // Makes `folder`, which is aside() or in it, durable and gives it the name.
  absl::Status Commit(const std::string& folder);

 private:
  NewFolder(std::string path, std::string aside);

  std::string path_;
  std::string aside_;  // Empty after a move.
};

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_EXCHANGE_NEW_FOLDER_H_
