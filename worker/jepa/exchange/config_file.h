// config.json beside weights, as transformers and timm write it.
#ifndef IJEPA_WORKER_JEPA_EXCHANGE_CONFIG_FILE_H_
#define IJEPA_WORKER_JEPA_EXCHANGE_CONFIG_FILE_H_

#include <string>

#include "absl/status/status.h"
#include "worker/jepa/exchange/state_source.h"

namespace jepa {

// Sets what no tensor shows, the heads and the grid, and compares every other size that the file
// says with `info`.model, which the tensors gave. Sizes that it does not say are not asked for.
// Returns DataLoss if it is no JSON object; InvalidArgument naming file, key and both values.
absl::Status ReadConfigFile(const std::string& path, StateInfo& info);

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_EXCHANGE_CONFIG_FILE_H_
