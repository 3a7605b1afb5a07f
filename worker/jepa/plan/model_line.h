// The sizes of both networks as one line, which two interchangeable checkpoints share.
#ifndef IJEPA_WORKER_JEPA_PLAN_MODEL_LINE_H_
#define IJEPA_WORKER_JEPA_PLAN_MODEL_LINE_H_

#include <string>

#include "absl/status/statusor.h"
#include "worker/jepa/config.h"

namespace jepa {

// "grid 14x14 patch 16x16x3 encoder 192x12 heads 3 mlp 768 predictor 384x6 mlp 1536"
std::string ModelLine(const ModelConfig& model);

// The sizes that ModelLine wrote. Returns DataLoss for any other text, or a size below 1 (below 0
// for the predictor's, which may be absent) or above 2^20.
absl::StatusOr<ModelConfig> ParseModelLine(const std::string& line);

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_PLAN_MODEL_LINE_H_
