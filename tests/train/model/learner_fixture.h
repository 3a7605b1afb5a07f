// A small job's config, and batches and masks for it, for tests of the learner. No LibTorch.
#ifndef IJEPA_TESTS_TRAIN_MODEL_LEARNER_FIXTURE_H_
#define IJEPA_TESTS_TRAIN_MODEL_LEARNER_FIXTURE_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <utility>
#include <vector>

#include "worker/jepa/config.h"
#include "worker/jepa/data/loader.h"
#include "worker/jepa/plan/masks.h"
#include "worker/jepa/plan/random.h"

namespace jepa::testing {

// 4x4 grid of 4-pixel patches, encoder 32x2, predictor 16x2, two heads, mlp 4x, betas (0.9, 0.95).
inline TrainConfig SmallConfig() {
  TrainConfig config;
  config.data.crop_size = {16, 16};
  config.data.batch_size = 3;
  config.model = {.grid_height = 4,
                  .grid_width = 4,
                  .patch_size = 4,
                  .embed_dim = 32,
                  .depth = 2,
                  .num_heads = 2,
                  .mlp_hidden = 128,
                  .pred_depth = 2,
                  .pred_embed_dim = 16,
                  .pred_mlp_hidden = 64};
  config.optimization.beta2 = 0.95;
  config.seed = 7;
  return config;
}

inline Batch RandomBatch(const TrainConfig& config, int images, uint64_t seed) {
  Batch batch;
  batch.images = images;
  batch.pixels.resize(static_cast<size_t>(images) * 3 * config.data.crop_size.height *
                      config.data.crop_size.width);
  Philox random(seed, Purpose::kCrop, 0, 0);
  for (uint8_t& pixel : batch.pixels) pixel = static_cast<uint8_t>(random.Below(256));
  return batch;
}

// One context block of five patches and two target blocks of three, apart from one another.
inline MaskBatch SmallMasks(int images) {
  MaskBatch masks{.context_patches = 5, .target_patches = 3, .context = {{}}, .target = {{}, {}}};
  for (int64_t b = 0; b < images; ++b) {
    const int64_t shift = b % 2;
    for (int64_t k = 0; k < 5; ++k) masks.context[0].push_back(k + shift);
    for (int64_t k = 0; k < 3; ++k) masks.target[0].push_back(8 + k + shift);
    for (int64_t k = 0; k < 3; ++k) masks.target[1].push_back(10 + k + shift);
  }
  return masks;
}

// The same blocks at places drawn for `seed` and each image: `context` patches, and two target
// blocks of `target` that share one. Equal counts have equal shapes, union of the targets included.
inline MaskBatch SeededMasks(int images, uint64_t seed, int context = 5, int target = 3) {
  MaskBatch masks{
      .context_patches = context, .target_patches = target, .context = {{}}, .target = {{}, {}}};
  for (int b = 0; b < images; ++b) {
    std::vector<int64_t> patches(16);
    std::iota(patches.begin(), patches.end(), 0);
    Philox random(seed, Purpose::kMask, 0, static_cast<uint64_t>(b));
    for (uint32_t k = 16; k > 1; --k) std::swap(patches[k - 1], patches[random.Below(k)]);
    const auto put = [&](int begin, int count, std::vector<int64_t>* block) {
      block->insert(block->end(), patches.begin() + begin, patches.begin() + begin + count);
      std::sort(block->end() - count, block->end());
    };
    put(0, context, &masks.context[0]);
    put(context, target, &masks.target[0]);
    put(context + target - 1, target, &masks.target[1]);
  }
  return masks;
}

}  // namespace jepa::testing

#endif  // IJEPA_TESTS_TRAIN_MODEL_LEARNER_FIXTURE_H_
