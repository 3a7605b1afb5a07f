// Makes a checkpoint folder of this project from a state of any source.
#ifndef IJEPA_WORKER_JEPA_EXCHANGE_IMPORT_H_
#define IJEPA_WORKER_JEPA_EXCHANGE_IMPORT_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/jepa/exchange/state_source.h"

namespace jepa {

struct ImportOptions {
  int heads = 0;   // Attention heads; 0: what the source says, else those of a published width.
  Size crop_size;  // Pixels; zeros: that of the source. Else position tables are made for it.
  std::string folder;
  bool replace = false;  // A folder that an import wrote before.
};

// Opens `path` with heads and grid settled, for import and export alike. Returns InvalidArgument if
// the heads are unknown or do not divide the width, or the crop size is no multiple of the patch
// size; errors of OpenState.
absl::StatusOr<std::unique_ptr<StateSource>> OpenForUse(const std::string& path,
                                                        const ImportOptions& options);

// Writes options.folder, whole or not at all. The state keeps its moments, its count of optimizer
// steps and its figures; without moments it is weights alone. Errors: those of reading, of
// WriteCheckpoint, AlreadyExists if the folder is there.
absl::Status ImportState(const StateSource& state, const ImportOptions& options);

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_EXCHANGE_IMPORT_H_
