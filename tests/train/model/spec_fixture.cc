// The fixture of ijepa-spec 1.6; see spec_fixture.h.
#include "tests/train/model/spec_fixture.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/sin.h>
#include <c10/core/GradMode.h>

#include <cmath>
#include <vector>

#include "worker/jepa/model/patches.h"

namespace jepa::testing {
namespace {

// Value of element i of the j-th parameter of its network, frozen tables counted.
double FixtureValue(const ParameterInfo& info, int64_t i, int j) {
  if (info.is_bias()) return 0.01 * std::cos(0.05 * i + j);
  if (info.is_norm_weight()) return 1 + 0.01 * std::sin(0.03 * i + j);
  return 0.2 * std::sin(1.7 * i + 0.5 * std::floor(i / 7.0) + 0.11 * j);
}

}  // namespace

ModelConfig FixtureModel() {
  return {.grid_height = 4,
          .grid_width = 4,
          .patch_size = 16,
          .embed_dim = 192,
          .depth = 2,
          .num_heads = 3,
          .mlp_hidden = 768,
          .pred_depth = 1,
          .pred_embed_dim = 96,
          .pred_mlp_hidden = 384};
}

void FillFixture(Networks* networks) {
  const c10::NoGradGuard no_grad;
  FlatStorage& storage = networks->storage();
  int encoder_j = 1;    // 0 is pos_embed.
  int predictor_j = 0;  // 0 is mask_token, 1 the position table.
  for (const FlatParameter& parameter : storage.parameters()) {
    const int j = parameter.encoder ? encoder_j++ : predictor_j++;
    if (!parameter.encoder && predictor_j == 1) ++predictor_j;
    std::vector<float> values(parameter.info.count());
    for (size_t i = 0; i < values.size(); ++i) {
      values[i] = static_cast<float>(FixtureValue(parameter.info, static_cast<int64_t>(i), j));
    }
    storage.View(storage.params, parameter)
        .copy_(at::from_blob(values.data(), parameter.info.shape, at::kFloat));
  }
  storage.CopyEncoderToTarget();
}

at::Tensor FixturePatches() {
  const at::Tensor images =
      at::arange(2 * 3 * 64 * 64, at::kDouble).mul(0.01).sin().to(at::kFloat).view({2, 3, 64, 64});
  return PatchesOfImages(FixtureModel(), images);
}

MaskBatch FixtureMasks(int context_blocks) {
  MaskBatch masks{.context_patches = 5,
                  .target_patches = 2,
                  .context = {{0, 1, 2, 4, 5, 3, 6, 7, 8, 9}, {8, 9, 12, 13, 0, 1, 2, 3, 4, 5}},
                  .target = {{10, 11, 12, 13}, {14, 15, 0, 1}, {3, 7, 10, 14}}};
  masks.context.resize(context_blocks);
  return masks;
}

}  // namespace jepa::testing
