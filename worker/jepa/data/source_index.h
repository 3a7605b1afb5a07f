// What a source is made of, listed once: names and places of its images, and what the folders, tars
// and manifests were like then.
#ifndef IJEPA_WORKER_JEPA_DATA_SOURCE_INDEX_H_
#define IJEPA_WORKER_JEPA_DATA_SOURCE_INDEX_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/jepa/data/file_list.h"
#include "worker/jepa/data/image_source.h"

struct stat;

namespace jepa {

// A folder, tar or manifest at the time it was looked at. A folder's stamp changes with the names
// in it, not with what is in its files.
struct Stamp {
  std::string path;
  int64_t bytes = 0;
  int64_t modified = 0;  // Nanoseconds since 1970; of the content, and of content or attributes.
  int64_t changed = 0;

  bool operator==(const Stamp&) const = default;
};

Stamp StampOf(const std::string& path, const struct stat& info);

// What a pattern stood for.
struct Expansion {
  std::string pattern;
  std::vector<std::string> paths;
};

// Images of one folder tree, one tar, or neighbouring lines of one manifest.
struct SourcePart {
  bool is_tar = false;
  std::string path;    // The tar, or the folder that names start from.
  std::string prefix;  // Of the names that are shown: "shard-003.tar:".
  FileList files;
};

struct SourceIndex {
  std::vector<Expansion> expansions;
  std::vector<Stamp> stamps;
  std::vector<SourcePart> parts;  // In the order of their images.

  int64_t images() const;
};

struct IndexProgress {
  int64_t done = 0;   // Folders and tars listed,
  int64_t known = 0;  // of those found so far.
};

struct IndexOptions {
  int threads = 8;  // Storage answers several questions at once, so more than processors.
  std::function<void(const IndexProgress&)> on_progress;  // From the calling thread. May be null.
};

// Lists `path` as OpenImageSource describes it; the same whatever the threads. Of a folder that two
// links lead to, the shortest path counts, then the first by name. Errors as OpenImageSource's.
absl::StatusOr<SourceIndex> BuildIndex(const std::string& path, const IndexOptions& options);

// FailedPrecondition, naming the first thing that is not as it was, if listing again may give
// another index.
absl::Status CheckCurrent(const SourceIndex& index, int threads);

// Opens the images of an index. Returns what the system says of a tar that cannot be opened.
absl::StatusOr<std::unique_ptr<ImageSource>> OpenIndex(SourceIndex index);

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_DATA_SOURCE_INDEX_H_
