// Golden set c_trajectory: 20 steps of training, alone and as two data-parallel shards: every loss,
// the final weights, the target and the AdamW moments.
#include <ATen/core/Tensor.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <string>

#include "tests/train/model/golden_networks.h"
#include "worker/jepa/model/optimizer.h"
#include "worker/jepa/model/patches.h"

namespace jepa::testing {
namespace {

// The first golden for which `is` holds, or null.
const Golden* FindGolden(const std::vector<Golden>& goldens,
                         const std::function<bool(const Golden&)>& is) {
  for (const Golden& golden : goldens) {
    if (is(golden)) return &golden;
  }
  return nullptr;
}

bool IsVariant(const Golden& golden) { return golden.json().contains("steps"); }

// Whether the sidecar says in `how` that the run was made so.
bool WasMade(const Golden& golden, const char* words) {
  return golden.json().value("how", "").find(words) != std::string::npos;
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

void CompareState(const Golden& expected, const FlatStorage& storage, GoldenReport* report) {
  for (const FlatParameter& parameter : storage.parameters()) {
    const std::string name = (parameter.encoder ? "encoder." : "predictor.") + parameter.info.name;
    ExpectMatches(expected, name, parameter.value, report);
    if (parameter.encoder) ExpectMatches(expected, "target_" + name, parameter.target, report);
    if (!expected.Has("opt.exp_avg." + name)) continue;
    ExpectMatches(expected, "opt.exp_avg." + name, storage.View(storage.exp_avg, parameter),
                  report);
    ExpectMatches(expected, "opt.exp_avg_sq." + name, storage.View(storage.exp_avg_sq, parameter),
                  report);
  }
}

void RunVariant(const Variant& variant) {
  const Golden& expected = *variant.expected;
  Networks networks(ModelOf(expected), at::kCPU, Precision::kFp32);
  FillFromTensors(*variant.inputs, &networks);
  Optimizer optimizer(&networks.storage(), 0.9, 0.999);
  const at::Tensor images = TensorOf(*variant.inputs, "in.images");
  GoldenReport report(expected);
  for (const nlohmann::json& entry : expected.json().at("steps")) {
    const int64_t step = entry.at("step");
    const double loss = RunStep(variant, step, images.select(0, step % images.size(0)), &networks);
    const double exact = expected.json().at("loss_fp64").at(step);
    const double golden = entry.at("loss");
    const double tolerance = 8 * std::abs(golden - exact) + 1e-6 * std::abs(golden);
    EXPECT_NEAR(loss, golden, tolerance) << "step " << step;
    report.Add("loss of step " + std::to_string(step), std::abs(loss - golden) / tolerance);
    optimizer.Step(
        {.lr = entry.at("lr"), .weight_decay = entry.at("wd"), .ema_momentum = entry.at("ema")});
    networks.storage().grad.zero_();
  }
  CompareState(expected, networks.storage(), &report);
}

TEST(TrajectoryGoldenTest, EveryVariantEndsInTheReferenceState) {
  IJEPA_GOLDENS_OR_SKIP(goldens, "c_trajectory");
  const Golden* inputs = FindGolden(
      goldens, [](const Golden& golden) { return !IsVariant(golden) && golden.Has("in.images"); });
  const Golden* rank_masks = FindGolden(
      goldens, [](const Golden& golden) { return golden.Has("in.step0.rank0.masks_enc.0"); });
  ASSERT_NE(inputs, nullptr);
  int variants = 0;
  for (const Golden& golden : goldens) {
    if (!IsVariant(golden)) continue;
    SCOPED_TRACE(golden.name());
    const bool own_masks = WasMade(golden, "its own masks");
    ASSERT_TRUE(!own_masks || rank_masks != nullptr);
    RunVariant({.expected = &golden,
                .inputs = inputs,
                .rank_masks = own_masks ? rank_masks : nullptr,
                .shards = WasMade(golden, "two processes") ? 2 : 1});
    ++variants;
  }
  EXPECT_GE(variants, 1);
}

}  // namespace
}  // namespace jepa::testing
