// States of every source become checkpoints with the same bits.
#include "worker/jepa/exchange/import.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "tests/exchange/sample_state.h"
#include "worker/jepa/checkpoint/checkpoint.h"
#include "worker/jepa/exchange/export.h"
#include "worker/jepa/exchange/torch_writer.h"
#include "worker/jepa/plan/arithmetic.h"

namespace jepa::testing {
namespace {

using ::testing::HasSubstr;

class ImportTest : public ExchangeTest {
 protected:
  // Imports `path` with two heads into DIR "in".
  absl::StatusOr<std::unique_ptr<StateSource>> Import(const std::string& path,
                                                      ImportOptions options = {}) {
    if (options.heads == 0) options.heads = 2;
    options.folder = Path("in");
    options.replace = true;
    auto state = OpenForUse(path, options);
    if (!state.ok()) return state.status();
    const absl::Status status = ImportState(**state, options);
    if (!status.ok()) return status;
    return OpenState(Path("in"));
  }

  std::string Export(const StateSource& state, ExportFormat format) {
    ExportOptions options;
    options.format = format;
    options.folder = Path("out");
    options.replace = true;
    const absl::Status status = ExportState(state, options);
    EXPECT_TRUE(status.ok()) << status;
    return Path("out");
  }
};

TEST_F(ImportTest, KeepsEveryBitAndFigureOfATrainingState) {
  const SampleState sample;
  const std::string file = Export(sample, ExportFormat::kTorch) + "/jepa-latest.pth.tar";
  const auto state = Import(file);
  ASSERT_TRUE(state.ok()) << state.status();
  ExpectSameTensors(**state, sample);
  EXPECT_EQ((*state)->info().optimizer_step, 10);
  EXPECT_EQ((*state)->info().step, 10);
  for (const auto& [key, value] : sample.info().values) {
    const std::string& found = (*state)->info().values.at(key);
    if (key == kScalerKey) {
      EXPECT_EQ(found, value);
    } else {
      EXPECT_EQ(std::stod(found), std::stod(value)) << key;
    }
  }
  const auto reader = CheckpointReader::Open(Path("in"));
  ASSERT_TRUE(reader.ok()) << reader.status();
  EXPECT_EQ(reader->meta().images_seen, 40);
  int64_t step = 0;
  EXPECT_TRUE(reader->Read("optimizer/step", TensorType::kInt64, {1}, &step).ok());
  EXPECT_EQ(step, 10);
}

TEST_F(ImportTest, TakesOneEncoderAsBothWithoutMoments) {
  const SampleState sample;
  for (const ExportFormat format : {ExportFormat::kHuggingFace, ExportFormat::kTimm}) {
    const auto state = Import(Export(sample, format));
    ASSERT_TRUE(state.ok()) << state.status();
    EXPECT_FALSE((*state)->info().optimizer_step.has_value());
    EXPECT_EQ((*state)->info().model.num_heads, 2);
    EXPECT_EQ((*state)->info().model.pred_depth, 0);
    for (const NamedShape& tensor : EncoderTensors(sample.info().model)) {
      const std::vector<float> values = ValuesOf(sample, kTargetPrefix + tensor.name);
      EXPECT_EQ(ValuesOf(**state, kTargetPrefix + tensor.name), values) << tensor.name;
      EXPECT_EQ(ValuesOf(**state, kEncoderPrefix + tensor.name), values) << tensor.name;
    }
  }
}

TEST_F(ImportTest, TakesAllNetworksFromSafetensors) {
  const SampleState sample;
  const auto state = Import(Export(sample, ExportFormat::kSafetensors) + "/model.safetensors");
  ASSERT_TRUE(state.ok()) << state.status();
  EXPECT_EQ((*state)->info().model.pred_depth, 1);
  EXPECT_FALSE((*state)->info().optimizer_step.has_value());
  for (const NamedShape& tensor : PredictorTensors(sample.info().model)) {
    EXPECT_EQ(ValuesOf(**state, kPredictorPrefix + tensor.name),
              ValuesOf(sample, kPredictorPrefix + tensor.name));
  }
}

TEST_F(ImportTest, AsksForHeadsThatNothingShows) {
  const std::string file = Export(SampleState(), ExportFormat::kTorch) + "/jepa-latest.pth.tar";
  EXPECT_THAT(std::string(OpenForUse(file, {}).status().message()), HasSubstr("give --heads N"));
  ImportOptions options;
  options.heads = 3;
  EXPECT_THAT(std::string(OpenForUse(file, options).status().message()),
              HasSubstr("heads is 3; it must divide the widths 16 (encoder) and 8"));
  const std::string folder = Export(SampleState(), ExportFormat::kHuggingFace);
  options.heads = 4;
  EXPECT_THAT(std::string(OpenForUse(folder, options).status().message()),
              HasSubstr("says 2 heads; --heads 4 contradicts it"));
  EXPECT_EQ(PublishedHeads(1280), 16);
  EXPECT_EQ(PublishedHeads(16), 0);
}

TEST_F(ImportTest, PutsTablesOnAnotherGrid) {
  const std::string file = Export(SampleState(), ExportFormat::kTorch) + "/jepa-latest.pth.tar";
  ImportOptions options;
  options.crop_size = {24, 24};
  const auto state = Import(file, options);
  ASSERT_TRUE(state.ok()) << state.status();
  EXPECT_EQ((*state)->info().model.grid_height, 6);
  EXPECT_EQ(ValuesOf(**state, "target_encoder/pos_embed"), PositionTable(6, 6, 16));
  EXPECT_EQ(ValuesOf(**state, "predictor/predictor_pos_embed"), PositionTable(6, 6, 8));
  options.crop_size = {24, 25};
  EXPECT_THAT(std::string(Import(file, options).status().message()),
              HasSubstr("crop size is 24x25; both sides must be multiples of"));
}

// As many patches as a square has: only the file or its table can tell.
TEST_F(ImportTest, KeepsTheGridOfARectangle) {
  const SampleState sample(WideSampleModel());
  for (const ExportFormat format : {ExportFormat::kHuggingFace, ExportFormat::kTimm,
                                    ExportFormat::kTorch, ExportFormat::kSafetensors}) {
    const std::string folder = Export(sample, format);
    const std::string file = folder + "/jepa-latest.pth.tar";
    const auto state = Import(format == ExportFormat::kTorch ? file : folder);
    ASSERT_TRUE(state.ok()) << state.status();
    EXPECT_EQ((*state)->info().model.grid_height, 2);
    EXPECT_EQ((*state)->info().model.grid_width, 8);
    EXPECT_EQ(ValuesOf(**state, "target_encoder/pos_embed"), PositionTable(2, 8, 16));
    ImportOptions options;
    options.crop_size = {12, 40};
    const auto other = Import(Path("in"), options);
    ASSERT_TRUE(other.ok()) << other.status();
    EXPECT_EQ(ValuesOf(**other, "target_encoder/pos_embed"), PositionTable(3, 10, 16));
    EXPECT_TRUE((*other)->info().notes.empty());
  }
}

TEST_F(ImportTest, TakesTheGridOfALearntTableFromConfigJson) {
  SampleState sample(WideSampleModel());
  sample.LearnTables();
  for (const ExportFormat format : {ExportFormat::kHuggingFace, ExportFormat::kTimm}) {
    const auto state = OpenState(Export(sample, format));
    ASSERT_TRUE(state.ok()) << state.status();
    EXPECT_EQ((*state)->info().model.grid_height, 2);
    EXPECT_TRUE((*state)->info().notes.empty());
  }
}

TEST_F(ImportTest, TakesALearntTableToBeOfTheCropElseSquare) {
  SampleState sample(WideSampleModel());
  sample.LearnTables();
  const std::string file = Export(sample, ExportFormat::kTorch) + "/jepa-latest.pth.tar";
  const auto square = OpenState(file);
  ASSERT_TRUE(square.ok()) << square.status();
  EXPECT_EQ((*square)->info().model.grid_height, 4);
  ASSERT_EQ((*square)->info().notes.size(), 1u);
  EXPECT_THAT((*square)->info().notes[0], HasSubstr("it is taken to be 4x4"));
  const auto wide = OpenState(file, {8, 32});
  EXPECT_EQ((*wide)->info().model.grid_height, 2);
  EXPECT_EQ((*OpenState(file, {8, 28}))->info().model.grid_height, 4);
}

TEST_F(ImportTest, RefusesToReplaceUnlessTold) {
  const std::string file = Export(SampleState(), ExportFormat::kTorch) + "/jepa-latest.pth.tar";
  ImportOptions options;
  options.heads = 2;
  options.folder = Path("in");
  const auto state = OpenForUse(file, options);
  ASSERT_TRUE(state.ok());
  ASSERT_TRUE(ImportState(**state, options).ok());
  EXPECT_TRUE(absl::IsAlreadyExists(ImportState(**state, options)));
  options.replace = true;
  EXPECT_TRUE(ImportState(**state, options).ok());
  WriteBytes(Path("in/thesis.txt"), "mine");
  EXPECT_THAT(std::string(ImportState(**state, options).message()),
              HasSubstr("holds thesis.txt, which no import or export writes"));
  EXPECT_EQ(ReadBytes(Path("in/thesis.txt")), "mine");
}

TEST_F(ImportTest, SaysWhatIsWrongWithAFolder) {
  std::filesystem::create_directory(Path("empty"));
  EXPECT_THAT(std::string(OpenState(Path("empty")).status().message()),
              HasSubstr("neither manifest.json"));
  const std::string folder = Export(SampleState(), ExportFormat::kHuggingFace);
  const std::string config = ReadBytes(folder + "/config.json");
  WriteBytes(folder + "/config.json", "{");
  EXPECT_THAT(std::string(OpenState(folder).status().message()), HasSubstr("not a JSON object"));
  WriteBytes(folder + "/config.json", "{\"num_attention_heads\": -2}");
  EXPECT_THAT(std::string(OpenState(folder).status().message()), HasSubstr("number of heads"));
  WriteBytes(folder + "/config.json", "{\"num_attention_heads\": 2, \"layer_norm_eps\": 1e-12}");
  const auto state = OpenState(folder);
  ASSERT_TRUE(state.ok()) << state.status();
  ASSERT_EQ((*state)->info().notes.size(), 1u);
  EXPECT_THAT((*state)->info().notes[0], HasSubstr("layer_norm_eps is 1e-12"));
}

// Every size that config.json says is that of the tensors.
TEST_F(ImportTest, RefusesAConfigJsonThatContradictsTheTensors) {
  const auto refusal = [&](ExportFormat format, const std::string& said, const std::string& now) {
    const std::string file = Export(SampleState(WideSampleModel()), format) + "/config.json";
    std::string config = ReadBytes(file);
    const size_t at = config.find(said);
    EXPECT_NE(at, std::string::npos) << said;
    if (at != std::string::npos) config.replace(at, said.size(), now);
    WriteBytes(file, config);
    return std::string(OpenState(Path("out")).status().message());
  };
  const std::pair<std::string, std::string> hugging_face[] = {
      {"hidden_size\": 16", "hidden_size\": 96"},
      {"num_hidden_layers\": 2", "num_hidden_layers\": 3"},
      {"intermediate_size\": 40", "intermediate_size\": \"40\""},
      {"num_channels\": 3", "num_channels\": 1"},
      {"patch_size\": 4", "patch_size\": [4, 8]"},
      {"num_attention_heads\": 2", "num_attention_heads\": 3"}};
  const std::string tensors[] = {
      "hidden_size is 96; the tensors have 16",
      "num_hidden_layers is 3; the tensors have 2",
      "intermediate_size is \"40\"; the tensors have 40",
      "num_channels is 1; the tensors have 3",
      "patch_size is [4,8]; the tensors have 4",
      "num_attention_heads is 3; the number of heads must divide the width, which is 16"};
  for (size_t i = 0; i < std::size(tensors); ++i) {
    EXPECT_THAT(refusal(ExportFormat::kHuggingFace, hugging_face[i].first, hugging_face[i].second),
                HasSubstr("config.json: " + tensors[i]));
  }
  EXPECT_THAT(refusal(ExportFormat::kHuggingFace, "image_size\": [", "image_size\": [8, "),
              HasSubstr("image_size is [8,8,32]; the position table has 16 patches of 4 x 4"));
  EXPECT_THAT(refusal(ExportFormat::kHuggingFace, "    8,\n    32", "32, 8"),
              HasSubstr("says grid 8x2, but its target_encoder/pos_embed is the sin-cos table of "
                        "2x8"));
  EXPECT_THAT(refusal(ExportFormat::kTimm, "embed_dim\": 16", "embed_dim\": 24"),
              HasSubstr("embed_dim is 24; the tensors have 16"));
  EXPECT_THAT(refusal(ExportFormat::kTimm, "mlp_ratio\": 2.5", "mlp_ratio\": 4"),
              HasSubstr("mlp_ratio is 4; the tensors have 40 for a width of 16"));
  EXPECT_THAT(refusal(ExportFormat::kTimm, "    8,\n      32", "8, 16"),
              HasSubstr("img_size is [8,16]; the position table has 16 patches"));
  EXPECT_EQ(refusal(ExportFormat::kTimm, "depth\": 2", "depth\": 2"), "");
}

}  // namespace
}  // namespace jepa::testing
