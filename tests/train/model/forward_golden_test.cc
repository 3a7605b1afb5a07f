// Golden set b_forward: outputs, loss and gradients of the reference implementation.
#include <ATen/core/Tensor.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "tests/train/model/golden_networks.h"
#include "worker/jepa/model/patches.h"
#include "worker/jepa/plan/arithmetic.h"

namespace jepa::testing {
namespace {

// Elements 0, stride, 2 * stride, ... of a gradient, and its norm, where the whole is not stored.
void CheckSampledGradient(const Golden& golden, const std::string& name, const at::Tensor& gradient,
                          GoldenReport* report) {
  const nlohmann::json& summary = golden.json().at("gradients").at(name);
  const double l2 = summary.at("l2"), noise = summary.at("max_abs_diff_all");
  const double difference = std::abs(gradient.to(at::kDouble).norm().item<double>() - l2);
  EXPECT_LE(difference, 1e-5 * l2 + noise) << "norm of " << name;
  report->Add("norm of " + name, difference / (1e-5 * l2 + noise));
  const int64_t count = golden.Shape("gradsample." + name)[0];
  const at::Tensor flat = gradient.reshape({-1});
  const at::Tensor sample = flat.slice(0, 0, flat.numel(), summary.at("stride").get<int64_t>());
  ExpectMatches(golden, "gradsample." + name, sample.slice(0, 0, count), report);
}

void CheckGradients(const Golden& golden, const Networks& networks, GoldenReport* report) {
  const FlatStorage& storage = networks.storage();
  for (const FlatParameter& parameter : storage.parameters()) {
    const std::string name = (parameter.encoder ? "encoder." : "predictor.") + parameter.info.name;
    const at::Tensor gradient = storage.View(storage.grad, parameter);
    if (golden.Has("grad." + name)) {
      ExpectMatches(golden, "grad." + name, gradient, report);
    } else {
      CheckSampledGradient(golden, name, gradient, report);
    }
  }
}

// Whether this is a model that would take minutes and 10 GB.
bool IsLarge(const Golden& golden) {
  constexpr int64_t kLargest = 200'000'000;
  return EncoderParameters(ModelOf(golden)) > kLargest;
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
  GoldenReport report(golden);
  const at::Tensor target_map = networks.TargetMap(patches);
  if (golden.Has("out.target_full")) {
    ExpectMatches(golden, "out.target_full", target_map, &report);
    ExpectMatches(golden, "out.context_full", networks.EncoderMap(patches), &report);
  } else {
    const at::Tensor mean = target_map.view({images.size(0), -1, model.embed_dim}).mean(1);
    ExpectMatches(golden, "out.target_mean", mean, &report);
  }
  ExpectMatches(golden, "out.target", networks.Targets(patches, rows), &report);
  const at::Tensor context = networks.Context(patches, rows);
  ExpectMatches(golden, "out.context", context, &report);
  ExpectMatches(golden, "out.pred", networks.Predict(context, rows), &report);
  const at::Tensor loss = networks.Loss(patches, rows);
  ExpectMatches(golden, "out.loss", loss, &report);
  if (golden.json().at("config").value("grads", true)) {
    loss.backward();
    CheckGradients(golden, networks, &report);
  }
}

TEST(ForwardGoldenTest, EveryOutputLossAndGradientMatches) {
  IJEPA_GOLDENS_OR_SKIP(goldens, "b_forward");
  for (const Golden* golden : GoldensThat(goldens, "a model below the large ones",
                                          [](const Golden& any) { return !IsLarge(any); })) {
    SCOPED_TRACE(golden->name());
    CheckForward(*golden);
  }
}

TEST(LargeForwardGoldenTest, EveryOutputAndLossMatches) {
  IJEPA_GOLDENS_OR_SKIP(goldens, "b_forward");
  for (const Golden& golden : goldens) {
    SCOPED_TRACE(golden.name());
    if (IsLarge(golden)) CheckForward(golden);
  }
}

}  // namespace
}  // namespace jepa::testing
