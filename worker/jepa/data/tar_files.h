// The tars of a source, few of which are open at a time: a thousand shards and a limit of a
// thousand open files go together.
#ifndef IJEPA_WORKER_JEPA_DATA_TAR_FILES_H_
#define IJEPA_WORKER_JEPA_DATA_TAR_FILES_H_

#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/file.h"
#include "worker/jepa/data/file_list.h"

namespace jepa {

// Replaces `bytes` by those of the member at `place` of the tar open as `fd`; `name` is for
// messages. By pread rather than from a mapping: a tar that becomes shorter must cost an image, not
// end the process by SIGBUS. Errors as ImageSource::ReadInto.
absl::Status ReadTarMember(int fd, FileList::Place place, absl::string_view name,
                           std::string& bytes);

// Thread-safe once all tars are added.
class TarFiles {
 public:
  // A quarter of what the process may have open, at most 256: 1,024 is the common limit. Raising it
  // spares an opening per image where tars are many.
  static size_t DefaultOpen();

  // Keeps up to `max_open` tars open, and one more for each thread that reads. At least 1.
  explicit TarFiles(size_t max_open = DefaultOpen());
  TarFiles(const TarFiles&) = delete;
  TarFiles& operator=(const TarFiles&) = delete;

  // Returns the number of the tar at `path`, which is opened to see that it can be; what the system
  // says if not.
  absl::StatusOr<size_t> Add(const std::string& path);

  // As ReadTarMember; DataLoss too if the tar has become another file since it was added.
  absl::Status Read(size_t tar, FileList::Place place, absl::string_view name,
                    std::string& bytes) const;

 private:
  // Closed when the last thread that reads has let it go.
  using SharedFd = std::shared_ptr<const ijepa::UniqueFd>;

  // Which file a path leads to.
  struct Identity {
    uint64_t device = 0;
    uint64_t inode = 0;
    bool operator==(const Identity&) const = default;
  };
  struct Tar {
    std::string path;
    Identity identity;
    SharedFd fd;  // Null while closed.
  };

  // Null if it is closed.
  SharedFd TakeOpen(size_t tar) const;
  absl::StatusOr<SharedFd> OpenAgain(size_t tar) const;
  // `tar` is open and the one used last; closes another where there are too many.
  void Keep(size_t tar, SharedFd fd) const;

  const size_t max_open_;
  mutable std::mutex mutex_;  // Guards Tar::fd and open_; not held while a file is opened or read.
  mutable std::vector<Tar> tars_;
  mutable std::list<size_t> open_;  // Used last first; at most max_open_.
};

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_DATA_TAR_FILES_H_
