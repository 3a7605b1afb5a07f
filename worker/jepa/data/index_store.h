// Indexes kept in a folder, so that a source is listed once and not by every rank at every start.
#ifndef IJEPA_WORKER_JEPA_DATA_INDEX_STORE_H_
#define IJEPA_WORKER_JEPA_DATA_INDEX_STORE_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "worker/jepa/data/source_index.h"

namespace jepa {

// What changed less than this before it was listed is not kept: a change in the same tick of the
// file system's clock would not show.
inline constexpr absl::Duration kIndexSettles = absl::Seconds(2);

struct IndexStoreOptions {
  std::string folder;  // Made where it is missing. Empty: nothing is kept.
  IndexOptions listing;
  // How long another process that lists the same path is waited for, before this one lists for
  // itself.
  absl::Duration patience = absl::Minutes(10);
  ijepa::Clock* clock = nullptr;  // Null: the machine's.
};

struct FoundIndex {
  SourceIndex index;
  std::string file;          // Where it is kept; empty without a folder.
  bool was_kept = false;     // Taken from the file; else listed now.
  bool is_kept = false;      // In the file now.
  bool is_too_new = false;   // Not kept because it changed less than kIndexSettles before.
  bool was_corrupt = false;  // The file was there, and not what had been written.
  // Why it was listed, and why it is not kept; a line each, may be empty.
  std::string why_listed;
  std::string why_not_kept;
};

// The index of `path` (BuildIndex). A kept one counts if it is whole and every folder, tar and
// manifest still has the size and times that it had when it was listed. Otherwise it is listed and
// kept: one process lists, others that want the same wait for it. A folder that cannot be written
// costs the keeping, not the run; a corrupt file is replaced. Errors as BuildIndex's.
absl::StatusOr<FoundIndex> FindIndex(const std::string& path, const IndexStoreOptions& options);

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_DATA_INDEX_STORE_H_
