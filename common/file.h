// Files as a crash leaves them: a write is atomic and durable, or it did not happen.
#ifndef IJEPA_COMMON_FILE_H_
#define IJEPA_COMMON_FILE_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace ijepa {

// A file descriptor that closes itself. Movable, not copyable.
class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(other.Release()) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    if (this != &other) Reset(other.Release());
    return *this;
  }
  ~UniqueFd() { Reset(); }

  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }
  // Gives the descriptor up to the caller.
  int Release();
  // Closes the descriptor and owns `fd` instead.
  void Reset(int fd = -1);

 private:
  int fd_ = -1;
};

// The status for `error` (an errno), naming the path and what was being done. ENOSPC and EDQUOT
// become ResourceExhausted, ENOENT NotFound, EACCES and EPERM PermissionDenied, EEXIST
// AlreadyExists, the rest Internal.
absl::Status ErrnoStatus(int error, absl::string_view doing, absl::string_view path);

// Reads the whole file. Returns NotFound if there is none.
absl::StatusOr<std::string> ReadFile(const std::string& path);

// Writes all of `data` to `fd`, through short writes and signals. `path` is for the message.
absl::Status WriteAll(int fd, absl::string_view data, absl::string_view path);

// Replaces `path` by `data`: temporary file, fsync, rename, fsync of the folder. Readers see the
// old or the new whole.
absl::Status WriteFileAtomically(const std::string& path, absl::string_view data);

// Makes directory entries (creations, renames) in `folder` durable.
absl::Status SyncFolder(const std::string& folder);

// Renames and makes it durable. Both must be in the same folder.
absl::Status RenameDurably(const std::string& from, const std::string& to);

// Creates the folder and its parents; fine if it exists.
absl::Status MakeFolders(const std::string& path);

// Removes a folder tree; fine if it is not there.
absl::Status RemoveTree(const std::string& path);

}  // namespace ijepa

#endif  // IJEPA_COMMON_FILE_H_
