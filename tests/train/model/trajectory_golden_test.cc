// Golden set c_trajectory: 20 steps of training, alone and as two data-parallel shards: every loss,
// the final weights, the target and the AdamW moments.
#include <ATen/core/Tensor.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <string>

#include "tests/train/model/golden_networks.h"
#include "worker/jepa/model/optimizer.h"
#include "worker/jepa/model/patches.h"

namespace jepa::testing {
namespace {

const Golden* FindGolden(const std::vector<Golden>& goldens, const std::string& name) {
  for (const Golden& golden : goldens) {
    if (golden.name() == name) return &golden;
  }
  return nullptr;
}

// Rows [begin, end) of the images of every block.
MaskBatch CutMasks(const MaskBatch& masks, int64_t begin, int64_t end) {
  MaskBatch cut = masks;
  for (auto& block : cut.context) {
    block = {block.begin() + begin * masks.context_patches,
             block.begin() + end * masks.context_patches};
  }
  for (auto& block : cut.target) {
    block = {block.begin() + begin * masks.target_patches,
             block.begin() + end * masks.target_patches};
  }
  return cut;
}

// How the steps of a variant are fed.
struct Variant {
  const Golden* expected = nullptr;
  const Golden* inputs = nullptr;
  const Golden* rank_masks = nullptr;  // Own masks of each shard, or null: those of inputs, cut.
  int shards = 1;
};

double RunStep(const Variant& variant, int64_t step, const at::Tensor& images, Networks* networks) {
  const int64_t share = images.size(0) / variant.shards;
  const std::string prefix = "in.step" + std::to_string(step) + ".";
  double loss = 0;
  for (int shard = 0; shard < variant.shards; ++shard) {
    const MaskBatch masks =
        variant.rank_masks != nullptr
            ? MasksOf(*variant.rank_masks, prefix + "rank" + std::to_string(shard) + ".")
            : CutMasks(MasksOf(*variant.inputs, prefix), shard * share, (shard + 1) * share);
    const at::Tensor patches =
        PatchesOfImages(networks->model(), images.narrow(0, shard * share, share));
    const at::Tensor shard_loss = networks->Loss(
        patches, MakeStepRows(masks, share, networks->grid_patches(), networks->device()));
    shard_loss.div(variant.shards).backward();
    loss += shard_loss.item<double>() / variant.shards;
  }
  return loss;
}

void CompareState(const Golden& expected, const FlatStorage& storage) {
  double weights = 0, moments = 0;
  for (const FlatParameter& parameter : storage.parameters()) {
    const std::string name = (parameter.encoder ? "encoder." : "predictor.") + parameter.info.name;
    weights = std::max(weights, ExpectMatches(expected, name, parameter.value));
    if (parameter.encoder) {
      weights = std::max(weights, ExpectMatches(expected, "target_" + name, parameter.target));
    }
    if (!expected.Has("opt.exp_avg." + name)) continue;
    moments = std::max(moments, ExpectMatches(expected, "opt.exp_avg." + name,
                                              storage.View(storage.exp_avg, parameter)));
    moments = std::max(moments, ExpectMatches(expected, "opt.exp_avg_sq." + name,
                                              storage.View(storage.exp_avg_sq, parameter)));
  }
  std::printf("%s weights: %.3f, moments: %.3f of the tolerance\n", expected.name().c_str(),
              weights, moments);
}

void RunVariant(const Variant& variant) {
  const Golden& expected = *variant.expected;
  Networks networks(ModelOf(expected), at::kCPU, Precision::kFp32);
  FillFromTensors(*variant.inputs, &networks);
  Optimizer optimizer(&networks.storage(), 0.9, 0.999);
  const at::Tensor images = TensorOf(*variant.inputs, "in.images");
  double share = 0;
  for (const nlohmann::json& entry : expected.json().at("steps")) {
    const int64_t step = entry.at("step");
    const double loss = RunStep(variant, step, images.select(0, step % images.size(0)), &networks);
    const double exact = expected.json().at("loss_fp64").at(step);
    const double golden = entry.at("loss");
    const double tolerance = 8 * std::abs(golden - exact) + 1e-6 * std::abs(golden);
    EXPECT_NEAR(loss, golden, tolerance) << "step " << step;
    share = std::max(share, std::abs(loss - golden) / tolerance);
    optimizer.Step(
        {.lr = entry.at("lr"), .weight_decay = entry.at("wd"), .ema_momentum = entry.at("ema")});
    networks.storage().grad.zero_();
  }
  std::printf("%s loss: %.3f of the tolerance\n", expected.name().c_str(), share);
  CompareState(expected, networks.storage());
}

TEST(TrajectoryGoldenTest, EveryVariantEndsInTheReferenceState) {
  IJEPA_GOLDENS_OR_SKIP(goldens, "c_trajectory");
  const Golden* inputs = FindGolden(goldens, "inputs");
  ASSERT_NE(inputs, nullptr);
  int variants = 0;
  for (const Golden& golden : goldens) {
    if (!golden.json().contains("steps")) continue;
    SCOPED_TRACE(golden.name());
    const bool own_masks = golden.name() == "ddp2_perrank";
    RunVariant({.expected = &golden,
                .inputs = inputs,
                .rank_masks = own_masks ? FindGolden(goldens, "inputs_perrank_masks") : nullptr,
                .shards = golden.name() == "single" ? 1 : 2});
    ++variants;
  }
  EXPECT_GE(variants, 1);
}

}  // namespace
}  // namespace jepa::testing
