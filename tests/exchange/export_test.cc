// What other programs get: names, shapes, configuration, and nothing by halves.
#include "worker/jepa/exchange/export.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/exchange/sample_state.h"
#include "worker/jepa/checkpoint/safetensors.h"
#include "worker/jepa/exchange/hugging_face.h"
#include "worker/jepa/exchange/import.h"
#include "worker/jepa/exchange/pixel_scale.h"
#include "worker/jepa/exchange/torch_writer.h"
#include "worker/jepa/plan/arithmetic.h"

namespace jepa::testing {
namespace {

using ::testing::HasSubstr;

class ExportTest : public ExchangeTest {
 protected:
  SafetensorsFile Weights(ExportFormat format, bool context = false) {
    ExportOptions options;
    options.format = format;
    options.context_encoder = context;
    options.folder = Path("out");
    options.replace = true;
    const absl::Status status = ExportState(sample_, options);
    EXPECT_TRUE(status.ok()) << status;
    auto file = SafetensorsFile::Open(Path("out/model.safetensors"));
    EXPECT_TRUE(file.ok()) << file.status();
    return *std::move(file);
  }

  static std::vector<float> Values(const SafetensorsFile& file, const std::string& name) {
    const SafetensorsEntry* entry = file.Find(name);
    EXPECT_NE(entry, nullptr) << name;
    if (entry == nullptr) return {};
    std::vector<float> values(entry->bytes / sizeof(float));
    EXPECT_TRUE(file.Read(*entry, values.data()).ok());
    return values;
  }

  SampleState sample_;
};

TEST_F(ExportTest, CutsTheFusedWeightsForHuggingFace) {
  const SafetensorsFile file = Weights(ExportFormat::kHuggingFace);
  const std::vector<float> qkv = ValuesOf(sample_, "target_encoder/blocks.1.attn.qkv.weight");
  const std::string layer = "encoder.layer.1.attention.attention.";
  EXPECT_EQ(Values(file, layer + "query.weight"),
            std::vector<float>(qkv.begin(), qkv.begin() + 256));
  EXPECT_EQ(Values(file, layer + "value.weight"), std::vector<float>(qkv.end() - 256, qkv.end()));
  const std::vector<float> bias = ValuesOf(sample_, "target_encoder/blocks.1.attn.qkv.bias");
  EXPECT_EQ(Values(file, layer + "key.bias"),
            std::vector<float>(bias.begin() + 16, bias.begin() + 32));
  EXPECT_EQ(file.metadata().at("format"), "pt");
  EXPECT_EQ(file.metadata().at("ijepa.encoder"), "target");
  // 4 outside the blocks and the table, 16 in each.
  EXPECT_EQ(file.tensors().size(), 5u + 2 * 16);
}

TEST_F(ExportTest, GivesTheContextEncoderWhenAskedTo) {
  const SafetensorsFile file = Weights(ExportFormat::kTimm, /*context=*/true);
  EXPECT_EQ(Values(file, "blocks.0.mlp.fc1.weight"),
            ValuesOf(sample_, "encoder/blocks.0.mlp.fc1.weight"));
  EXPECT_EQ(file.metadata().at("ijepa.encoder"), "context");
}

TEST_F(ExportTest, WritesConfigurationsThatSayWhatTheModelIs) {
  ModelConfig giant;
  const auto shape = EncoderByName("vit_giant");
  giant.grid_height = giant.grid_width = 14;
  giant.patch_size = 16;
  giant.embed_dim = shape->embed_dim;
  giant.depth = shape->depth;
  giant.num_heads = shape->num_heads;
  giant.mlp_hidden = shape->mlp_hidden;
  const nlohmann::json config = nlohmann::json::parse(HuggingFaceConfig(giant));
  EXPECT_EQ(config["intermediate_size"], 6144);
  EXPECT_EQ(config["layer_norm_eps"], 1e-6);
  EXPECT_EQ(config["image_size"], 224);
  EXPECT_EQ(config["num_attention_heads"], 16);
  const nlohmann::json images = nlohmann::json::parse(HuggingFacePreprocessor(giant));
  EXPECT_EQ(images["image_mean"], (std::vector<double>{0.485, 0.456, 0.406}));
  EXPECT_EQ(images["image_std"], (std::vector<double>{0.229, 0.224, 0.225}));
  const nlohmann::json timm = nlohmann::json::parse(TimmConfig(giant));
  const double ratio = timm["model_args"]["mlp_ratio"];
  EXPECT_EQ(static_cast<int>(giant.embed_dim * ratio), 6144);
  EXPECT_EQ(timm["model_args"]["class_token"], false);
  EXPECT_EQ(timm["model_args"]["fc_norm"], false);
}

TEST_F(ExportTest, CarriesTheStatisticsOfTheRunThroughItsCheckpoint) {
  SampleState run;
  const PixelScale own{16, {0.1, 1.0 / 3, 0.7}, {0.25, 0.125, 1e-3}};
  SavePixelScale(own, run.info_.values);
  ASSERT_TRUE(ImportState(run, {.folder = Path("checkpoint")}).ok());
  const auto checkpoint = OpenState(Path("checkpoint"));
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  for (const ExportFormat format : {ExportFormat::kHuggingFace, ExportFormat::kTimm}) {
    ASSERT_TRUE(
        ExportState(**checkpoint, {.format = format, .folder = Path("out"), .replace = true}).ok());
    const bool timm = format == ExportFormat::kTimm;
    const auto file = nlohmann::json::parse(
        ReadBytes(Path(timm ? "out/config.json" : "out/preprocessor_config.json")));
    const auto& holder = timm ? file["pretrained_cfg"] : file;
    EXPECT_EQ(holder[timm ? "mean" : "image_mean"], own.mean);
    EXPECT_EQ(holder[timm ? "std" : "image_std"], own.std);
    if (!timm) {
      EXPECT_EQ(file["rescale_factor"], 1.0 / 65535);
    }
  }
}

TEST_F(ExportTest, AssumesStatisticsWhereACheckpointSaysNone) {
  EXPECT_EQ(ReadPixelScale({}, 3)->mean, (std::vector<double>{0.485, 0.456, 0.406}));
  EXPECT_EQ(ReadPixelScale({}, 2)->std, (std::vector<double>{1, 1}));
}

TEST_F(ExportTest, RefusesStatisticsThatAreNone) {
  const std::map<std::string, std::string> sound = {
      {kBitDepthKey, "8"}, {kMeanKey, "0.5,0.5,0.5"}, {kStdKey, "1,1,1"}};
  ASSERT_TRUE(ReadPixelScale(sound, 3).ok());
  for (const auto& [key, text] : std::map<std::string, std::string>{
           {kBitDepthKey, "12"}, {kMeanKey, "0.5,x,0.5"}, {kStdKey, "1,0,1"}}) {
    auto values = sound;
    values[key] = text;
    EXPECT_TRUE(absl::IsDataLoss(ReadPixelScale(values, 3).status())) << key;
  }
  EXPECT_THAT(std::string(ReadPixelScale(sound, 4).status().message()),
              HasSubstr("one for each of 4 channels"));
}

TEST_F(ExportTest, RefusesATrainingStateThatIsNotWhole) {
  const auto refusal = [&](const SampleState& state) {
    return std::string(WriteTorchState(Path("x"), state).message());
  };
  SampleState without_moments;
  without_moments.info_.optimizer_step.reset();
  EXPECT_THAT(refusal(without_moments), HasSubstr("has no optimizer state"));
  SampleState without_predictor;
  without_predictor.info_.model.pred_depth = 0;
  EXPECT_THAT(refusal(without_predictor), HasSubstr("has no predictor"));
  for (const char* key : {kLossKey, kBatchSizeKey, kPeakLrKey, kBeta2Key}) {
    SampleState state;
    state.info_.values.erase(key);
    EXPECT_THAT(refusal(state), HasSubstr(std::string("has no figure ") + key));
  }
}

TEST_F(ExportTest, CountsFinishedEpochsOfARun) {
  SampleState run;
  run.info_.values.erase(kEpochKey);
  run.info_.values[kStepsPerEpochKey] = "4";
  run.info_.step = 11;
  ASSERT_TRUE(WriteTorchState(Path("run.pth.tar"), run).ok());
  const auto state = OpenState(Path("run.pth.tar"));
  ASSERT_TRUE(state.ok()) << state.status();
  EXPECT_EQ((*state)->info().values.at(kEpochKey), "2");
}

// The published program with use_bfloat16 starts again without a word when the scaler is None.
TEST_F(ExportTest, GivesARunAFreshScaler) {
  SampleState run;
  run.info_.values.erase(kScalerKey);
  ASSERT_TRUE(WriteTorchState(Path("run.pth.tar"), run).ok());
  const auto state = OpenState(Path("run.pth.tar"));
  ASSERT_TRUE(state.ok()) << state.status();
  const auto scaler = nlohmann::json::parse((*state)->info().values.at(kScalerKey));
  EXPECT_EQ(scaler["scale"], 65536.0);
  EXPECT_EQ(scaler["growth_interval"], 2000);
}

TEST_F(ExportTest, LeavesNothingBehindWhenATensorCannotBeRead) {
  sample_.info_.model.depth = 3;  // The third block is not there.
  ExportOptions options;
  options.format = ExportFormat::kTorch;
  options.folder = Path("out");
  EXPECT_FALSE(ExportState(sample_, options).ok());
  EXPECT_TRUE(absl::IsNotFound(OpenState(Path("out")).status()));
  EXPECT_TRUE(absl::IsNotFound(OpenState(Path("out.new")).status()));
}

TEST_F(ExportTest, KnowsItsFormats) {
  EXPECT_EQ(*ExportFormatByName("pth"), ExportFormat::kTorch);
  EXPECT_THAT(std::string(ExportFormatByName("onnx").status().message()),
              HasSubstr("must be one of hf, timm, pth, safetensors"));
}

}  // namespace
}  // namespace jepa::testing
