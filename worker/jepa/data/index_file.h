// An index as the bytes of a file: checksummed, and bound to the path that it lists.
#ifndef IJEPA_WORKER_JEPA_DATA_INDEX_FILE_H_
#define IJEPA_WORKER_JEPA_DATA_INDEX_FILE_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "worker/jepa/data/source_index.h"

namespace jepa {

// Numbers in the machine's byte order: the file stays on the machines of one cluster.
std::string EncodeIndex(const std::string& path, const SourceIndex& index);

// Returns DataLoss for bytes that are not those written, FailedPrecondition for an index of another
// version or path.
absl::StatusOr<SourceIndex> DecodeIndex(absl::string_view bytes, const std::string& path);

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_DATA_INDEX_FILE_H_
