// Golden set c_trajectory: 20 steps of training, alone and as two data-parallel shards: every loss,
// the final weights, the target and the AdamW moments.
#include <ATen/core/Tensor.h>
#include <gtest/gtest.h>

#include <cmath>
#include <set>
#include <string>
#include <vector>

#include "tests/train/model/golden_networks.h"
#include "worker/jepa/model/optimizer.h"
#include "worker/jepa/model/patches.h"

namespace jepa::testing {
namespace {

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

double LossOfFirstStep(const Variant& variant) {
  Networks networks(ModelOf(*variant.expected), at::kCPU, Precision::kFp32);
  FillFromTensors(*variant.inputs, &networks);
  return RunStep(variant, 0, TensorOf(*variant.inputs, "in.images").select(0, 0), &networks);
}

std::string MasksOfRank(int rank) {
  return "in.step0.rank" + std::to_string(rank) + ".masks_enc.0";
}

// How the run of `expected` was fed: the inputs of its configuration, and a shard for each batch in
// theirs. No field says whether its shards had masks of their own; the loss of its first step does.
Variant VariantOf(const std::vector<Golden>& goldens, const Golden& expected) {
  const nlohmann::json& config = expected.json().at("config");
  const auto same_config = [&](const Golden& golden) {
    return golden.json().at("config") == config;
  };
  const std::vector<const Golden*> inputs = GoldensThat(
      goldens, "in.images and the config of " + expected.name(),
      [&](const Golden& golden) { return golden.Has("in.images") && same_config(golden); });
  Variant variant{.expected = &expected};
  if (inputs.empty()) return variant;
  variant.inputs = inputs[0];
  const int batch = expected.json().at("args").at("data").at("batch_size");
  variant.shards = config.at("B").get<int>() / batch;
  if (variant.shards == 1) return variant;
  const double loss = expected.json().at("steps").at(0).at("loss");
  double nearest = std::abs(LossOfFirstStep(variant) - loss);
  for (const Golden& golden : goldens) {
    const bool of_all_ranks =
        golden.Has(MasksOfRank(variant.shards - 1)) && !golden.Has(MasksOfRank(variant.shards));
    if (!of_all_ranks || !same_config(golden)) continue;
    Variant own = variant;
    own.rank_masks = &golden;
    const double distance = std::abs(LossOfFirstStep(own) - loss);
    if (distance >= nearest) continue;
    nearest = distance;
    variant.rank_masks = &golden;
  }
  return variant;
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
  std::set<const Golden*> used;
  for (const Golden* golden : GoldensWithField(goldens, "steps")) {
    SCOPED_TRACE(golden->name());
    const Variant variant = VariantOf(goldens, *golden);
    ASSERT_NE(variant.inputs, nullptr);
    RunVariant(variant);
    used.insert(variant.rank_masks);
  }
  for (const Golden& golden : goldens) {
    EXPECT_EQ(used.count(&golden), golden.Has(MasksOfRank(0)) ? 1u : 0u) << golden.name();
  }
}

}  // namespace
}  // namespace jepa::testing
