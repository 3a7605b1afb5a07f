// Golden sets f_checkpoint, g_hf_export and b_init: the published files, read and written.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <filesystem>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tests/exchange/sample_state.h"
#include "tests/golden/golden.h"
#include "worker/jepa/exchange/export.h"
#include "worker/jepa/exchange/import.h"
#include "worker/jepa/exchange/state_source.h"

namespace jepa::testing {
namespace {

class ExchangeGoldenTest : public ExchangeTest {};

// "opt.exp_avg.encoder.norm.bias" -> "exp_avg/encoder/norm.bias"
std::string StateName(std::string name) {
  if (absl::StartsWith(name, "opt.")) name = name.substr(4);
  for (const char* prefix : {"exp_avg.", "exp_avg_sq."}) {
    if (absl::StartsWith(name, prefix)) name[name.find('.')] = '/';
  }
  name[name.find('.')] = '/';
  return name;
}

// Every tensor of the sidecar's file is in the state with the same bits, and no other is.
void ExpectTensors(const Golden& golden, const StateSource& state) {
  size_t compared = 0;
  for (const std::string& name : golden.TensorNames()) {
    if (absl::StartsWith(name, "opt.step.")) {
      EXPECT_EQ(golden.Floats(name)[0], static_cast<float>(*state.info().optimizer_step)) << name;
      continue;
    }
    EXPECT_EQ(ValuesOf(state, StateName(name)), golden.Floats(name)) << name;
    ++compared;
  }
  EXPECT_EQ(compared, state.tensors().size());
  std::printf("%s: %zu tensors equal\n", golden.name().c_str(), compared);
}

// The gradient scaler that a checkpoint file was written with. Its keys stand in the file, whose
// pickle is stored as it is.
nlohmann::json ScalerIn(const std::string& path, const nlohmann::json& sidecar) {
  const std::string bytes = ReadBytes(path);
  for (const auto& [key, value] : sidecar.at("scaler_amp").items()) {
    if (!absl::StrContains(bytes, key)) return sidecar.at("scaler");
  }
  return sidecar.at("scaler_amp");
}

TEST_F(ExchangeGoldenTest, ImportedTensorsAndFiguresAreExact) {
  IJEPA_GOLDENS_OR_SKIP(goldens, "f_checkpoint");
  int files = 0;
  for (const Golden* found : GoldensWithField(goldens, "files")) {
    const Golden& golden = *found;
    for (const auto& [file, what] : golden.json()["files"].items()) {
      SCOPED_TRACE(file);
      const std::string path = absl::StrCat(golden.folder(), "/", file);
      ImportOptions options;
      options.heads = golden.json()["config"]["heads"];
      options.folder = Path(absl::StrCat("in", files));
      const auto published = OpenForUse(path, options);
      ASSERT_TRUE(published.ok()) << published.status();
      ASSERT_TRUE(ImportState(**published, options).ok());
      const auto state = OpenState(options.folder);
      ASSERT_TRUE(state.ok()) << state.status();
      ExpectTensors(golden, **state);
      for (const auto& [key, value] : golden.json()["scalars"].items()) {
        EXPECT_EQ(std::stod((*state)->info().values.at(key)), value.get<double>()) << key;
      }
      EXPECT_EQ(nlohmann::json::parse((*state)->info().values.at(kScalerKey)),
                ScalerIn(path, golden.json()));
      const nlohmann::json& group = golden.json()["param_groups"][0];
      EXPECT_EQ(std::stod((*state)->info().values.at(kGroupLrKey)), group["lr"]);
      EXPECT_EQ(std::stod((*state)->info().values.at(kGroupDecayKey)), group["weight_decay"]);
      EXPECT_TRUE((*state)->info().notes.empty());
      ++files;
    }
  }
  EXPECT_GE(files, 1);
}

// Numbers, groups and shapes of every parameter of a model of the manifest.
void ExpectOptimizerSlots(const nlohmann::json& model) {
  TensorShapes shapes;
  for (const auto& entry : model["params"]["encoder"]) {
    shapes[absl::StrCat(kTargetPrefix, entry["name"].get<std::string>())] =
        entry["shape"].get<std::vector<int64_t>>();
  }
  for (const auto& entry : model["params"]["predictor"]) {
    shapes[absl::StrCat(kPredictorPrefix, entry["name"].get<std::string>())] =
        entry["shape"].get<std::vector<int64_t>>();
  }
  const auto config = InferModel(shapes);
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->pred_depth, model["pred_depth"]);
  EXPECT_EQ(config->embed_dim, model["embed_dim"]);
  const std::vector<OptimizerSlot> slots = OptimizerSlots(*config);
  size_t found = 0;
  for (const char* network : {"encoder", "predictor"}) {
    for (const auto& entry : model["params"][network]) {
      const OptimizerSlot& slot = slots.at(entry["opt_index"]);
      EXPECT_EQ(slot.name, absl::StrCat(network, "/", entry["name"].get<std::string>()));
      EXPECT_EQ(slot.group, entry["opt_group"]);
      EXPECT_EQ(slot.shape, entry["shape"].get<std::vector<int64_t>>());
      EXPECT_EQ(slot.has_state, entry["requires_grad"]);
      ++found;
    }
  }
  EXPECT_EQ(found, slots.size());
}

TEST_F(ExchangeGoldenTest, OptimizerNumbersAreThePublishedOnes) {
  IJEPA_GOLDENS_OR_SKIP(goldens, "b_init");
  for (const Golden* manifest : GoldensWithField(goldens, "models")) {
    for (const auto& [name, model] : manifest->json()["models"].items()) {
      SCOPED_TRACE(name);
      ExpectOptimizerSlots(model);
    }
  }
}

// The folder in `set` that holds the model as Hugging Face names it, or "".
std::string ModelFolder(const std::string& set) {
  for (const auto& entry : std::filesystem::directory_iterator(set)) {
    if (std::filesystem::exists(entry.path() / "config.json")) return entry.path().string();
  }
  return "";
}

// The reference encoder under its published names becomes the folder that the set holds.
TEST_F(ExchangeGoldenTest, ExportEqualsTheHuggingFaceFolder) {
  IJEPA_GOLDENS_OR_SKIP(goldens, "g_hf_export");
  const std::string model = ModelFolder(goldens[0].folder());
  ASSERT_NE(model, "") << goldens[0].folder() << " holds no folder with a config.json";
  const auto expected = OpenState(model);
  ASSERT_TRUE(expected.ok()) << expected.status();
  for (const Golden* weights : GoldensWithTensor(goldens, "target_encoder.norm.weight")) {
    for (const std::string& name : weights->TensorNames()) {
      EXPECT_EQ(ValuesOf(**expected, StateName(name)), weights->Floats(name)) << name;
    }
  }
  ExportOptions options;
  options.folder = Path("hf");
  ASSERT_TRUE(ExportState(**expected, options).ok());
  const auto written = OpenState(options.folder);
  ASSERT_TRUE(written.ok()) << written.status();
  ExpectSameTensors(**written, **expected);
  for (const char* file : {"/config.json", "/preprocessor_config.json"}) {
    EXPECT_EQ(nlohmann::json::parse(ReadBytes(options.folder + file)),
              nlohmann::json::parse(ReadBytes(model + file)))
        << file;
  }
}

}  // namespace
}  // namespace jepa::testing
