// Networks from golden files; see golden_networks.h.
#include "tests/train/model/golden_networks.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <c10/core/GradMode.h>

#include <cstring>
#include <limits>
#include <vector>

#include "worker/jepa/plan/arithmetic.h"

namespace jepa::testing {
namespace {

uint64_t Fnv1a(const std::string& text) {
  uint64_t hash = 0xcbf29ce484222325ull;
  for (unsigned char c : text) hash = (hash ^ c) * 0x100000001b3ull;
  return hash;
}

// The formula of b_forward/formula_*.json.
at::Tensor FormulaTensor(const std::string& name, const nlohmann::json& entry) {
  const std::vector<int64_t> shape = entry.at("shape");
  const float a = entry.at("a"), offset = entry.at("offset");
  const at::Tensor out = at::empty(shape, at::kFloat);
  float* data = out.data_ptr<float>();
  const uint64_t hash = Fnv1a(name);
  for (int64_t i = 0; i < out.numel(); ++i) {
    uint64_t z = hash + static_cast<uint64_t>(i + 1) * 0x9E3779B97F4A7C15ull;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    z ^= z >> 31;
    const float u = static_cast<float>(z >> 40) * 0x1p-24f;
    data[i] = offset + a * (2 * u - 1);
  }
  const std::vector<float> first = entry.at("first");
  EXPECT_EQ(data[0], first[0]) << name;
  EXPECT_EQ(data[1], first[1]) << name;
  return out;
}

// Copies value(NAME) into every parameter; target names are asked for only with `with_target`.
void Fill(Networks* networks, bool with_target,
          const std::function<at::Tensor(const std::string&)>& value) {
  const c10::NoGradGuard no_grad;
  FlatStorage& storage = networks->storage();
  for (const FlatParameter& parameter : storage.parameters()) {
    const std::string prefix = parameter.encoder ? "encoder." : "predictor.";
    storage.View(storage.params, parameter).copy_(value(prefix + parameter.info.name));
    if (parameter.encoder && with_target) {
      at::Tensor(parameter.target).copy_(value("target_encoder." + parameter.info.name));
    }
  }
  if (!with_target) storage.CopyEncoderToTarget();
}

}  // namespace

ModelConfig ModelOf(const Golden& golden) {
  const nlohmann::json& config = golden.json().at("config");
  ModelConfig model;
  model.patch_size = config.at("patch");
  model.grid_height = model.grid_width = config.at("img").get<int>() / model.patch_size;
  if (config.contains("name")) {
    const auto shape = EncoderByName(config.at("name").get<std::string>());
    EXPECT_TRUE(shape.ok()) << shape.status();
    model.embed_dim = shape->embed_dim;
    model.depth = shape->depth;
    model.num_heads = shape->num_heads;
    model.mlp_hidden = shape->mlp_hidden;
  } else {
    model.embed_dim = config.at("dim");
    model.depth = config.at("depth");
    model.num_heads = config.at("heads");
    model.mlp_hidden = static_cast<int>(model.embed_dim * config.value("mlp", 4.0));
  }
  model.pred_embed_dim = config.value("pdim", 4 * model.num_heads);
  model.pred_depth = config.value("pdepth", 1);
  model.pred_mlp_hidden = 4 * model.pred_embed_dim;
  return model;
}

at::Tensor TensorOf(const Golden& golden, const std::string& name) {
  std::vector<float> values = golden.Floats(name);
  return at::from_blob(values.data(), golden.Shape(name), at::kFloat).clone();
}

void FillFromTensors(const Golden& golden, Networks* networks) {
  Fill(networks, golden.Has("target_encoder.norm.weight"),
       [&](const std::string& name) { return TensorOf(golden, name); });
}

void FillTargetFromTensors(const Golden& golden, Networks* networks) {
  const c10::NoGradGuard no_grad;
  for (const FlatParameter& parameter : networks->storage().parameters()) {
    if (!parameter.encoder) continue;
    at::Tensor(parameter.target).copy_(TensorOf(golden, "target_encoder." + parameter.info.name));
  }
}

void FillFromFormula(const Golden& golden, Networks* networks) {
  const nlohmann::json& entries = golden.json().at("parameters");
  Fill(networks, true,
       [&](const std::string& name) { return FormulaTensor(name, entries.at(name)); });
}

at::Tensor FormulaImages(const Golden& golden) {
  return FormulaTensor("in.images", golden.json().at("in_images"));
}

MaskBatch MasksOf(const Golden& golden, const std::string& prefix) {
  MaskBatch masks;
  for (int i = 0; golden.Has(prefix + "masks_enc." + std::to_string(i)); ++i) {
    const std::string name = prefix + "masks_enc." + std::to_string(i);
    masks.context_patches = static_cast<int>(golden.Shape(name)[1]);
    masks.context.push_back(golden.Ints(name));
  }
  for (int i = 0; golden.Has(prefix + "masks_pred." + std::to_string(i)); ++i) {
    const std::string name = prefix + "masks_pred." + std::to_string(i);
    masks.target_patches = static_cast<int>(golden.Shape(name)[1]);
    masks.target.push_back(golden.Ints(name));
  }
  return masks;
}

double ExpectMatches(const Golden& golden, const std::string& name, const at::Tensor& actual) {
  const at::Tensor expected = TensorOf(golden, name);
  const at::Tensor values = actual.detach().cpu();
  EXPECT_EQ(values.numel(), expected.numel()) << name;
  if (values.numel() != expected.numel()) return std::numeric_limits<double>::infinity();
  const double difference = values.reshape(expected.sizes())
                                .to(at::kDouble)
                                .sub(expected.to(at::kDouble))
                                .abs()
                                .max()
                                .item<double>();
  const double tolerance =
      golden.Tolerance(name).value_or(1e-5 * expected.abs().max().item<double>());
  EXPECT_LE(difference, tolerance) << golden.name() << " " << name;
  return difference == 0 ? 0 : difference / tolerance;
}

void ExpectMatches(const Golden& golden, const std::string& name, const at::Tensor& actual,
                   GoldenReport* report) {
  report->Add(name, ExpectMatches(golden, name, actual));
}

}  // namespace jepa::testing
