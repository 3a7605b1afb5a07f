// Checkpoint folders as sources of state.
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/jepa/checkpoint/checkpoint.h"
#include "worker/jepa/exchange/pixel_scale.h"
#include "worker/jepa/exchange/sources.h"
#include "worker/jepa/plan/model_line.h"

namespace jepa {
namespace {

constexpr char kStepName[] = "optimizer/step";

class CheckpointState : public StateSource {
 public:
  CheckpointState(CheckpointReader reader, StateInfo info, TensorShapes shapes)
      : reader_(std::move(reader)), info_(std::move(info)), shapes_(std::move(shapes)) {}

  const StateInfo& info() const override { return info_; }
  const TensorShapes& tensors() const override { return shapes_; }
  absl::Status Read(const std::string& name, float* out) const override {
    const auto found = shapes_.find(name);
    if (found == shapes_.end()) {
      return absl::NotFoundError(absl::StrCat(info_.path, " has no tensor ", name));
    }
    return reader_.Read(name, TensorType::kFloat32, found->second, out);
  }

 private:
  const CheckpointReader reader_;
  const StateInfo info_;
  const TensorShapes shapes_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<StateSource>> OpenCheckpointState(const std::string& path) {
  IJEPA_ASSIGN_OR_RETURN(CheckpointReader reader, CheckpointReader::Open(path));
  StateInfo info;
  info.path = path;
  info.kind = "checkpoint folder";
  IJEPA_ASSIGN_OR_RETURN(info.model, ParseModelLine(reader.meta().model));
  info.grid_known = true;
  info.values = reader.meta().values;
  absl::StatusOr<PixelScale> scale = ReadPixelScale(info.values, info.model.channels);
  if (!scale.ok()) {
    return absl::DataLossError(absl::StrCat(path, ": ", scale.status().message()));
  }
  info.model.scale = *std::move(scale);
  info.step = reader.meta().step;
  TensorShapes shapes;
  for (const TensorEntry& tensor : reader.tensors()) {
    if (tensor.name == kStepName) {
      int64_t step = 0;
      IJEPA_RETURN_IF_ERROR(reader.Read(kStepName, TensorType::kInt64, {1}, &step));
      if (step < 0) return absl::DataLossError(absl::StrCat(kStepName, " is ", step));
      info.optimizer_step = step;
    } else if (tensor.type == TensorType::kFloat32) {
      shapes[tensor.name] = tensor.shape;
    } else {
      return absl::InvalidArgumentError(absl::StrCat("tensor ", tensor.name, " is not float32"));
    }
  }
  IJEPA_RETURN_IF_ERROR(CheckTensors(info.model, shapes));
  return std::make_unique<CheckpointState>(std::move(reader), std::move(info), std::move(shapes));
}

}  // namespace jepa
