// Networks filled from golden files: configuration from the sidecar, weights from tensors or
// formulas, masks, and the comparison by the sidecars' tolerance.
#ifndef IJEPA_TESTS_TRAIN_MODEL_GOLDEN_NETWORKS_H_
#define IJEPA_TESTS_TRAIN_MODEL_GOLDEN_NETWORKS_H_

#include <ATen/core/Tensor.h>

#include <string>

#include "tests/golden/golden.h"
#include "worker/jepa/model/networks.h"

namespace jepa::testing {

// Sizes of a sidecar's "config": dims are there, or a model name.
ModelConfig ModelOf(const Golden& golden);

at::Tensor TensorOf(const Golden& golden, const std::string& name);

// Copies "encoder.*", "predictor.*" and "target_encoder.*" tensors into the storage; without target
// tensors the target becomes a copy of the encoder.
void FillFromTensors(const Golden& golden, Networks* networks);

// Copies "target_encoder.*" tensors into the target alone.
void FillTargetFromTensors(const Golden& golden, Networks* networks);

// Fills from the sidecar's "formula", checking "first" of each tensor.
void FillFromFormula(const Golden& golden, Networks* networks);
at::Tensor FormulaImages(const Golden& golden);

// Tensors PREFIX + "masks_enc.I" and PREFIX + "masks_pred.I".
MaskBatch MasksOf(const Golden& golden, const std::string& prefix);

// Expects |actual - golden| within the tolerance of the golden tensor and returns the used share of
// it: 1 is the limit. With a report, says it there.
double ExpectMatches(const Golden& golden, const std::string& name, const at::Tensor& actual);
void ExpectMatches(const Golden& golden, const std::string& name, const at::Tensor& actual,
                   GoldenReport* report);

}  // namespace jepa::testing

#endif  // IJEPA_TESTS_TRAIN_MODEL_GOLDEN_NETWORKS_H_
