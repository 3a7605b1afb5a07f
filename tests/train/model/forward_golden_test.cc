// Golden sets b_forward and i_probe: outputs, loss and gradients of the reference implementation.
#include <ATen/core/Tensor.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <string>

#include "tests/train/model/golden_networks.h"
#include "worker/jepa/model/patches.h"

namespace jepa::testing {
namespace {

class Shares {
 public:
  void Add(const std::string& group, double share) {
    double& largest = largest_[group];
    largest = std::max(largest, share);
  }
  void Print(const Golden& golden) const {
    for (const auto& [group, share] : largest_) {
      std::printf("%s %s: %.3f of the tolerance\n", golden.name().c_str(), group.c_str(), share);
    }
  }

 private:
  std::map<std::string, double> largest_;
};

// Elements 0, stride, 2 * stride, ... of a gradient, and its norm, where the whole is not stored.
double CheckSampledGradient(const Golden& golden, const std::string& name,
                            const at::Tensor& gradient) {
  const nlohmann::json& summary = golden.json().at("gradients").at(name);
  const double l2 = summary.at("l2"), noise = summary.at("max_abs_diff_all");
  EXPECT_NEAR(gradient.to(at::kDouble).norm().item<double>(), l2, 1e-5 * l2 + noise) << name;
  const int64_t count = golden.Shape("gradsample." + name)[0];
  const at::Tensor flat = gradient.reshape({-1});
  const at::Tensor sample = flat.slice(0, 0, flat.numel(), summary.at("stride").get<int64_t>());
  return ExpectMatches(golden, "gradsample." + name, sample.slice(0, 0, count));
}

double CheckGradients(const Golden& golden, const Networks& networks) {
  const FlatStorage& storage = networks.storage();
  double share = 0;
  for (const FlatParameter& parameter : storage.parameters()) {
    const std::string name = (parameter.encoder ? "encoder." : "predictor.") + parameter.info.name;
    const at::Tensor gradient = storage.View(storage.grad, parameter);
    share =
        std::max(share, golden.Has("grad." + name) ? ExpectMatches(golden, "grad." + name, gradient)
                                                   : CheckSampledGradient(golden, name, gradient));
  }
  return share;
}

// Whether this is a full-size model that would take minutes and 10 GB.
bool IsLarge(const Golden& golden) {
  return golden.json().at("config").value("name", "") == "vit_huge";
}

void CheckForward(const Golden& golden) {
  const ModelConfig model = ModelOf(golden);
  Networks networks(model, at::kCPU, Precision::kFp32);
  const bool formula = golden.json().contains("formula");
  if (formula) {
    FillFromFormula(golden, &networks);
  } else {
    FillFromTensors(golden, &networks);
  }
  const at::Tensor images = formula ? FormulaImages(golden) : TensorOf(golden, "in.images");
  const at::Tensor patches = PatchesOfImages(model, images);
  const StepRows rows = MakeStepRows(MasksOf(golden, "in."), images.size(0),
                                     networks.grid_patches(), networks.device());
  Shares shares;
  const at::Tensor target_map = networks.TargetMap(patches);
  if (golden.Has("out.target_full")) {
    shares.Add("target map", ExpectMatches(golden, "out.target_full", target_map));
    shares.Add("encoder map",
               ExpectMatches(golden, "out.context_full", networks.EncoderMap(patches)));
  } else {
    const at::Tensor mean = target_map.view({images.size(0), -1, model.embed_dim}).mean(1);
    shares.Add("target mean", ExpectMatches(golden, "out.target_mean", mean));
  }
  shares.Add("targets", ExpectMatches(golden, "out.target", networks.Targets(patches, rows)));
  const at::Tensor context = networks.Context(patches, rows);
  shares.Add("context", ExpectMatches(golden, "out.context", context));
  shares.Add("predictions", ExpectMatches(golden, "out.pred", networks.Predict(context, rows)));
  const at::Tensor loss = networks.Loss(patches, rows);
  shares.Add("loss", ExpectMatches(golden, "out.loss", loss));
  if (golden.json().at("config").value("grads", true)) {
    loss.backward();
    shares.Add("gradients", CheckGradients(golden, networks));
  }
  shares.Print(golden);
}

TEST(ForwardGoldenTest, EveryOutputLossAndGradientMatches) {
  IJEPA_GOLDENS_OR_SKIP(goldens, "b_forward");
  for (const Golden& golden : goldens) {
    SCOPED_TRACE(golden.name());
    if (!IsLarge(golden)) CheckForward(golden);
  }
}

TEST(LargeForwardGoldenTest, EveryOutputAndLossMatches) {
  IJEPA_GOLDENS_OR_SKIP(goldens, "b_forward");
  for (const Golden& golden : goldens) {
    SCOPED_TRACE(golden.name());
    if (IsLarge(golden)) CheckForward(golden);
  }
}

TEST(ProbeGoldenTest, AveragePoolOfTheLastLayerMatches) {
  IJEPA_GOLDENS_OR_SKIP(goldens, "i_probe");
  for (const Golden& golden : goldens) {
    const auto weights = Golden::Load(golden.folder() + "/../g_hf_export/reference_weights.json");
    if (!weights.ok()) GTEST_SKIP() << weights.status();
    Networks networks(ModelOf(golden), at::kCPU, Precision::kFp32);
    FillTargetFromTensors(*weights, &networks);
    const at::Tensor images = TensorOf(golden, "in.images");
    const at::Tensor map = networks.TargetMap(PatchesOfImages(networks.model(), images));
    const at::Tensor pooled = map.view({images.size(0), networks.grid_patches(), -1}).mean(1);
    const double share = ExpectMatches(golden, "feat.last_avgpool", pooled);
    std::printf("%s pooled: %.3f of the tolerance\n", golden.name().c_str(), share);
  }
}

}  // namespace
}  // namespace jepa::testing
