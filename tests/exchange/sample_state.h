// A small training state made of formulas, folders for tests, and bytes of pickles.
#ifndef IJEPA_TESTS_EXCHANGE_SAMPLE_STATE_H_
#define IJEPA_TESTS_EXCHANGE_SAMPLE_STATE_H_

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "tests/fakes/temporary_folder.h"
#include "worker/jepa/exchange/state_source.h"

namespace jepa::testing {

// 4x4 grid of 4-pixel patches, encoder 16x2 with 2 heads, predictor 8x1.
ModelConfig SampleModel();
// The same on a grid of 2x8, which has as many patches.
ModelConfig WideSampleModel();

// Every value of every tensor differs from the others; position tables are the sin-cos ones, and
// the figures are there.
class SampleState : public StateSource {
 public:
  explicit SampleState(const ModelConfig& model = SampleModel());
  const StateInfo& info() const override { return info_; }
  const TensorShapes& tensors() const override { return shapes_; }
  absl::Status Read(const std::string& name, float* out) const override;

  // For tests that change something.
  StateInfo info_;
  TensorShapes shapes_;
  std::map<std::string, std::vector<float>> replaced_;
  // Gives both encoders a position table that is not the sin-cos one.
  void LearnTables();
};

std::vector<float> ValuesOf(const StateSource& state, const std::string& name);

// Expects the same tensors with the same bits.
void ExpectSameTensors(const StateSource& actual, const StateSource& expected);

// A folder of its own for each test, removed at its end.
class ExchangeTest : public ::testing::Test {
 protected:
  std::string Path(const std::string& name) const { return folder_ + "/" + name; }

 private:
  const ijepa::TemporaryFolder temporary_;

 protected:
  const std::string& folder_ = temporary_.path();
};

void WriteBytes(const std::string& path, const std::string& bytes);
std::string ReadBytes(const std::string& path);

}  // namespace jepa::testing

#endif  // IJEPA_TESTS_EXCHANGE_SAMPLE_STATE_H_
