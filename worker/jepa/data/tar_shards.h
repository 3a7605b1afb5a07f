// Images packed into tars of one size, in WebDataset naming.
#ifndef IJEPA_WORKER_JEPA_DATA_TAR_SHARDS_H_
#define IJEPA_WORKER_JEPA_DATA_TAR_SHARDS_H_

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "worker/jepa/data/image_source.h"

namespace jepa {

struct PackOptions {
  int64_t shard_bytes = int64_t{1} << 30;  // A shard is closed once it has that many.
  // A column of labels for .cls files; null: none. Must outlive the call.
  const Labels* labels = nullptr;
  std::function<void(int64_t)> on_progress;  // Images written. May be null.
};

// Writes every image of `source`, bytes unchanged, to `folder`/shard-000000.tar and on, as
// 000000000.jpg and on (.png or .webp by the first bytes), with 000000000.cls where it has a label.
// The folder appears whole or not at all; its parent exists. The same images give the same bytes.
// Returns the number of shards; AlreadyExists if the folder is there, the error of the image that
// could not be read, or of the write.
absl::StatusOr<int> PackImages(const ImageSource& source, const std::string& folder,
                               const PackOptions& options);

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_DATA_TAR_SHARDS_H_
