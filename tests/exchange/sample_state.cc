// Formulas and folders; see sample_state.h.
#include "tests/exchange/sample_state.h"

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <iterator>

#include "absl/strings/match.h"
#include "common/check.h"
#include "common/file.h"
#include "worker/jepa/plan/arithmetic.h"

namespace jepa::testing {

ModelConfig SampleModel() {
  ModelConfig model;
  model.grid_height = model.grid_width = 4;
  model.patch_size = 4;
  model.embed_dim = 16;
  model.depth = 2;
  model.num_heads = 2;
  model.mlp_hidden = 40;
  model.pred_depth = 1;
  model.pred_embed_dim = 8;
  model.pred_mlp_hidden = 32;
  return model;
}

ModelConfig WideSampleModel() {
  ModelConfig model = SampleModel();
  model.grid_height = 2;
  model.grid_width = 8;
  return model;
}

SampleState::SampleState(const ModelConfig& model) {
  info_.path = "sample";
  info_.kind = "sample";
  info_.model = model;
  info_.optimizer_step = 10;
  info_.step = 10;
  info_.values = {{kEpochKey, "2"},         {kLossKey, "0.40366672277450564"},
                  {kBatchSizeKey, "4"},     {kWorldSizeKey, "1"},
                  {kPeakLrKey, "0.0005"},   {kGroupLrKey, "0.00037525000000000004"},
                  {kGroupDecayKey, "0.22"}, {kBeta1Key, "0.9"},
                  {kBeta2Key, "0.999"},     {kScalerKey, "null"}};
  for (const NamedShape& tensor : EncoderTensors(info_.model)) {
    shapes_[kEncoderPrefix + tensor.name] = tensor.shape;
    shapes_[kTargetPrefix + tensor.name] = tensor.shape;
  }
  for (const NamedShape& tensor : PredictorTensors(info_.model)) {
    shapes_[kPredictorPrefix + tensor.name] = tensor.shape;
  }
  for (const OptimizerSlot& slot : OptimizerSlots(info_.model)) {
    if (!slot.has_state) continue;
    shapes_[kMomentPrefix + slot.name] = slot.shape;
    shapes_[kSquarePrefix + slot.name] = slot.shape;
  }
}

void SampleState::LearnTables() {
  for (const char* prefix : {kEncoderPrefix, kTargetPrefix}) {
    const std::string name = std::string(prefix) + kEncoderTable;
    std::vector<float>& table = replaced_[name];
    for (int64_t i = 0; i < CountOf(shapes_.at(name)); ++i) {
      table.push_back(std::sin(static_cast<float>(i * i)));
    }
  }
}

absl::Status SampleState::Read(const std::string& name, float* out) const {
  const auto found = shapes_.find(name);
  if (found == shapes_.end()) return absl::NotFoundError(name);
  const auto replaced = replaced_.find(name);
  std::vector<float> values(static_cast<size_t>(CountOf(found->second)));
  const auto place = static_cast<double>(std::distance(shapes_.begin(), found));
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<float>(std::sin(0.37 * static_cast<double>(i) + place) + 0.001 * place);
  }
  if (absl::EndsWith(name, kEncoderTable)) {
    values = PositionTable(info_.model.grid_height, info_.model.grid_width,
                           static_cast<int>(found->second[2]));
  }
  if (replaced != replaced_.end()) values = replaced->second;
  std::copy(values.begin(), values.end(), out);
  return absl::OkStatus();
}

std::vector<float> ValuesOf(const StateSource& state, const std::string& name) {
  const auto found = state.tensors().find(name);
  EXPECT_NE(found, state.tensors().end()) << name;
  if (found == state.tensors().end()) return {};
  std::vector<float> values(static_cast<size_t>(CountOf(found->second)));
  const absl::Status status = state.Read(name, values.data());
  EXPECT_TRUE(status.ok()) << status;
  return values;
}

void ExpectSameTensors(const StateSource& actual, const StateSource& expected) {
  EXPECT_EQ(actual.tensors(), expected.tensors());
  for (const auto& [name, shape] : expected.tensors()) {
    EXPECT_EQ(ValuesOf(actual, name), ValuesOf(expected, name)) << name;
  }
}

void WriteBytes(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

std::string ReadBytes(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace jepa::testing
