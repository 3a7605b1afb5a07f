// Names of checkpoint folders: step-000000000120.g3, and with .tmp while unfinished.
#ifndef IJEPA_WORKER_JEPA_CHECKPOINT_CHECKPOINT_NAME_H_
#define IJEPA_WORKER_JEPA_CHECKPOINT_CHECKPOINT_NAME_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"

namespace jepa {

inline constexpr char kUnfinishedSuffix[] = ".tmp";
inline constexpr char kManifestName[] = "manifest.json";

struct CheckpointName {
  int64_t step = 0;
  int64_t generation = 0;
  bool unfinished = false;
};

std::string CheckpointFolderName(int64_t step, int64_t generation);

// Nothing for a name that CheckpointFolderName does not give.
std::optional<CheckpointName> ParseCheckpointName(absl::string_view name);

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_CHECKPOINT_CHECKPOINT_NAME_H_
