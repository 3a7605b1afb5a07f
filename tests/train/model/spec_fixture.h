// Weights, image and masks of the numerical fixture of ijepa-spec 1.6: small networks that need no
// file, for tests that compare one way of computing with another.
#ifndef IJEPA_TESTS_TRAIN_MODEL_SPEC_FIXTURE_H_
#define IJEPA_TESTS_TRAIN_MODEL_SPEC_FIXTURE_H_

#include <ATen/core/Tensor.h>

#include "worker/jepa/model/networks.h"

namespace jepa::testing {

// 4x4 grid of 16-pixel patches, encoder 192x2, predictor 96x1, three heads.
ModelConfig FixtureModel();
// Fills networks of any size by the fixture's formula.
void FillFixture(Networks* networks);
// Two images of 64 pixels.
at::Tensor FixturePatches();
// For two images: `context_blocks` (1 or 2) of five patches, three target blocks of two.
MaskBatch FixtureMasks(int context_blocks);

}  // namespace jepa::testing

#endif  // IJEPA_TESTS_TRAIN_MODEL_SPEC_FIXTURE_H_
