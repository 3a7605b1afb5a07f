// manifest.json of a checkpoint: what is in it, with a CRC over itself, so that a flipped byte in
// the manifest is found like one in a part.
#ifndef IJEPA_WORKER_JEPA_CHECKPOINT_MANIFEST_H_
#define IJEPA_WORKER_JEPA_CHECKPOINT_MANIFEST_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "worker/jepa/checkpoint/checkpoint.h"

namespace jepa {

inline constexpr int kCheckpointVersion = 1;
// Tensors begin at multiples of this within their part.
inline constexpr int64_t kTensorAlignment = 64;

struct PartEntry {
  int64_t bytes = 0;
  uint32_t crc32c = 0;
};

struct Manifest {
  CheckpointMeta meta;
  std::vector<TensorEntry> tensors;
  std::vector<PartEntry> parts;
};

// "part-0003.bin"
std::string PartName(int part);

// Bytes of a tensor. Returns InvalidArgument for a negative size or a product past 2^62.
absl::StatusOr<int64_t> TensorBytes(TensorType type, const std::vector<int64_t>& shape);

// Returns InvalidArgument if a text is not UTF-8.
absl::StatusOr<std::string> ManifestToJson(const Manifest& manifest);

// Checks version, CRC and that every tensor lies inside its part and overlaps no other. Returns
// FailedPrecondition for a newer version, DataLoss for the rest.
absl::StatusOr<Manifest> ParseManifest(absl::string_view json);

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_CHECKPOINT_MANIFEST_H_
