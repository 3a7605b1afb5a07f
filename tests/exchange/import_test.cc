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
  options.crop_size = 24;
  const auto state = Import(file, options);
  ASSERT_TRUE(state.ok()) << state.status();
  EXPECT_EQ((*state)->info().model.grid_height, 6);
  EXPECT_EQ(ValuesOf(**state, "target_encoder/pos_embed"), PositionTable(6, 6, 16));
  EXPECT_EQ(ValuesOf(**state, "predictor/predictor_pos_embed"), PositionTable(6, 6, 8));
  options.crop_size = 25;
  EXPECT_THAT(std::string(Import(file, options).status().message()),
              HasSubstr("crop size is 25; must be a multiple of"));
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

}  // namespace
}  // namespace jepa::testing
