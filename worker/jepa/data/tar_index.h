// The members of a tar file, found by reading its headers. Nothing is unpacked.
#ifndef IJEPA_WORKER_JEPA_DATA_TAR_INDEX_H_
#define IJEPA_WORKER_JEPA_DATA_TAR_INDEX_H_

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace jepa {

// A regular file in the tar.
struct TarMember {
  std::string name;  // Without a leading "./".
  uint64_t offset = 0;
  uint64_t bytes = 0;
};

// Calls `visit` for every regular file of the tar open as `fd`, in the order of the tar: ustar with
// prefix, GNU long names and base-256 sizes, pax path and size; links, devices and sparse files are
// passed over. `path` is for messages. Every number of a header is checked against the size of the
// file. Returns FailedPrecondition if this is no tar (and says so of a compressed one), DataLoss
// for a broken header, a member that ends beyond the file, or a file without the block of zeros
// that ends a tar: it may have been cut between two members.
absl::Status ScanTar(int fd, absl::string_view path,
                     const std::function<void(const TarMember&)>& visit);

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_DATA_TAR_INDEX_H_
