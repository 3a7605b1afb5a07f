// What a job starts from: found, compared, and made whole.
#include "worker/jepa/exchange/start_state.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cmath>
#include <filesystem>

#include "tests/exchange/sample_state.h"
#include "worker/jepa/exchange/export.h"
#include "worker/jepa/exchange/import.h"
#include "worker/jepa/exchange/torch_writer.h"
#include "worker/jepa/plan/arithmetic.h"

namespace jepa::testing {
namespace {

using ::testing::HasSubstr;

class StartStateTest : public ExchangeTest {
 protected:
  void ImportTo(const std::string& name) {
    ImportOptions options;
    options.folder = Path(name);
    const absl::Status status = ImportState(sample_, options);
    ASSERT_TRUE(status.ok()) << status;
  }
  void SetAge(const std::string& name, int seconds) {
    std::filesystem::last_write_time(
        Path(name), std::filesystem::file_time_type::clock::now() - std::chrono::seconds(seconds));
  }

  SampleState sample_;
};

TEST_F(StartStateTest, FindsTheNewestStateOfAFolder) {
  EXPECT_EQ(*FindStart(Path("x.pth.tar"), "jepa"), Path("x.pth.tar"));
  EXPECT_THAT(std::string(FindStart(folder_, "jepa").status().message()),
              HasSubstr("has neither jepa-latest.pth.tar nor a checkpoint"));
  WriteBytes(Path("jepa-latest.pth.tar"), "x");
  WriteBytes(Path("other-latest.pth.tar"), "x");
  ImportTo("step-000000000010.g1");
  ImportTo("step-000000000020.g1.tmp");
  SetAge("jepa-latest.pth.tar", 20);
  SetAge("step-000000000010.g1", 30);
  EXPECT_EQ(*FindStart(folder_, "jepa"), Path("jepa-latest.pth.tar"));
  SetAge("jepa-latest.pth.tar", 40);
  EXPECT_EQ(*FindStart(folder_, "jepa"), Path("step-000000000010.g1"));
  EXPECT_EQ(*FindStart(Path("step-000000000010.g1"), "jepa"), Path("step-000000000010.g1"));
}

TEST_F(StartStateTest, CountsStepsFromEpochsOfThisJob) {
  ImportTo("published");
  const auto published = StartState::Open(Path("published"), SampleModel());
  ASSERT_TRUE(published.ok()) << published.status();
  EXPECT_EQ(published->FirstStep(5), 10);
  EXPECT_EQ(published->FirstStep(7), 14);
  sample_.info_.values.erase(kEpochKey);
  ImportTo("own");
  EXPECT_EQ(StartState::Open(Path("own"), SampleModel())->FirstStep(7), 10);
  sample_.info_.values[kEpochKey] = "4611686018427387904";
  ImportTo("hostile");
  EXPECT_GT(StartState::Open(Path("hostile"), SampleModel())->FirstStep(7), int64_t{1} << 60);
}

TEST_F(StartStateTest, RefusesOtherSizesButTakesAnotherGrid) {
  ImportTo("in");
  ModelConfig model = SampleModel();
  model.grid_height = model.grid_width = 6;
  const auto state = StartState::Open(Path("in"), model);
  ASSERT_TRUE(state.ok()) << state.status();
  std::vector<float> table(36 * 16);
  ASSERT_TRUE(
      state->Read("encoder/pos_embed", TensorType::kFloat32, {1, 36, 16}, table.data()).ok());
  EXPECT_EQ(table, PositionTable(6, 6, 16));
  for (int ModelConfig::*size :
       {&ModelConfig::embed_dim, &ModelConfig::depth, &ModelConfig::num_heads,
        &ModelConfig::pred_depth, &ModelConfig::mlp_hidden, &ModelConfig::patch_size}) {
    ModelConfig other = SampleModel();
    other.*size += 1;
    const absl::Status status = StartState::Open(Path("in"), other).status();
    EXPECT_TRUE(absl::IsFailedPrecondition(status));
    EXPECT_THAT(std::string(status.message()), HasSubstr("has other sizes than this job"));
  }
}

// A job on the grid of a file that does not say it takes the tables as they are.
TEST_F(StartStateTest, TakesALearntTableToBeOfTheJobsCrop) {
  sample_ = SampleState(WideSampleModel());
  sample_.LearnTables();
  ASSERT_TRUE(WriteTorchState(Path("x.pth.tar"), sample_).ok());
  const auto state = StartState::Open(Path("x.pth.tar"), WideSampleModel());
  ASSERT_TRUE(state.ok()) << state.status();
  std::vector<float> table(16 * 16);
  ASSERT_TRUE(
      state->Read("encoder/pos_embed", TensorType::kFloat32, {1, 16, 16}, table.data()).ok());
  EXPECT_EQ(table, ValuesOf(sample_, "encoder/pos_embed"));
}

TEST_F(StartStateTest, RefusesValuesThatAreNotFinite) {
  sample_.replaced_["encoder/norm.bias"] = std::vector<float>(16, HUGE_VALF);
  ImportTo("in");
  const auto state = StartState::Open(Path("in"), SampleModel());
  ASSERT_TRUE(state.ok()) << state.status();
  std::vector<float> values(16);
  const absl::Status status =
      state->Read("encoder/norm.bias", TensorType::kFloat32, {16}, values.data());
  EXPECT_TRUE(absl::IsDataLoss(status)) << status;
}

TEST_F(StartStateTest, FillsWhatWeightsLack) {
  ExportOptions options;
  options.folder = Path("hf");
  ASSERT_TRUE(ExportState(sample_, options).ok());
  auto state = StartState::Open(Path("hf"), SampleModel());
  ASSERT_TRUE(state.ok()) << state.status();
  EXPECT_EQ(state->FirstStep(5), 0);
  ASSERT_TRUE(state->NeedsInitial());
  std::vector<float> values(8, 7.0f);
  const auto read = [&](const std::string& name) {
    return state->Read(name, TensorType::kFloat32, {8}, values.data());
  };
  EXPECT_TRUE(absl::IsNotFound(read("predictor/predictor_norm.bias")));
  const std::vector<float> initial = {1, 2, 3, 4, 5, 6, 7, 8};
  state->KeepInitial(
      {{"predictor/predictor_norm.bias", TensorType::kFloat32, {8}, initial.data()}});
  ASSERT_TRUE(read("predictor/predictor_norm.bias").ok());
  EXPECT_EQ(values, initial);
  ASSERT_TRUE(read("exp_avg/predictor/predictor_norm.bias").ok());
  EXPECT_EQ(values, std::vector<float>(8, 0.0f));
  int64_t step = 9;
  ASSERT_TRUE(state->Read("optimizer/step", TensorType::kInt64, {1}, &step).ok());
  EXPECT_EQ(step, 0);
  EXPECT_TRUE(absl::IsInvalidArgument(
      state->Read("encoder/norm.bias", TensorType::kFloat32, {8}, values.data())));
  EXPECT_TRUE(absl::IsNotFound(read("nonsense")));
}

}  // namespace
}  // namespace jepa::testing
