// Initial weights: the effective law of the published code, drawn from Philox. No LibTorch.
// ijepa-spec 1.3.
#ifndef IJEPA_WORKER_JEPA_MODEL_INITIAL_LAW_H_
#define IJEPA_WORKER_JEPA_MODEL_INITIAL_LAW_H_

#include <cstdint>

#include "worker/jepa/config.h"
#include "worker/jepa/plan/parameter_table.h"

namespace jepa {

// Fills out[0 .. info.count()) with parameter number `index` of the job's tensor order (encoder,
// then predictor): LayerNorm gain 1, biases 0, everything else normal with std 0.02. kReference
// copies the published inverse-CDF draw's defect: with probability 2^-24 a weight is -2.0, 100
// standard deviations out; kClean redraws what lies beyond +-2. The same bits on every rank and
// machine with the same libm.
void DrawInitial(const ParameterInfo& info, InitMode mode, uint64_t seed, int index, float* out);

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_MODEL_INITIAL_LAW_H_
