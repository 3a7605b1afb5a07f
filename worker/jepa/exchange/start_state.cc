// Finding a state, comparing sizes, and reading over the gaps.
#include "worker/jepa/exchange/start_state.h"

#include <cstring>
#include <filesystem>
#include <optional>
#include <system_error>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/jepa/checkpoint/checkpoint_name.h"
#include "worker/jepa/exchange/regrid.h"
#include "worker/jepa/plan/model_line.h"

namespace jepa {
namespace {

namespace fs = std::filesystem;

constexpr char kStepName[] = "optimizer/step";

bool IsState(const std::string& path) {
  std::error_code error;
  return !fs::is_directory(path, error) || fs::exists(path + "/" + kManifestName, error) ||
         fs::exists(path + "/model.safetensors", error);
}

// The sizes that must agree: all but the grid, heads if known, the predictor if there is one.
ModelConfig Comparable(ModelConfig model, const ModelConfig& other) {
  model.grid_height = model.grid_width = 1;
  if (other.num_heads == 0) model.num_heads = 0;
  if (other.pred_depth == 0) model.pred_depth = model.pred_embed_dim = model.pred_mlp_hidden = 0;
  return model;
}

}  // namespace

absl::StatusOr<std::string> FindStart(const std::string& path, const std::string& tag) {
  if (IsState(path)) return path;
  const std::string latest = absl::StrCat(tag, "-latest.pth.tar");
  std::optional<std::pair<fs::file_time_type, std::string>> newest;
  std::error_code error;
  for (fs::directory_iterator entry(path, error), end; !error && entry != end;
       entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    const std::optional<CheckpointName> checkpoint = ParseCheckpointName(name);
    const bool finished = checkpoint.has_value() && !checkpoint->unfinished;
    if (name != latest && !finished) continue;
    std::error_code ignored;
    const std::pair found(fs::last_write_time(entry->path(), ignored), entry->path().string());
    if (!ignored && (!newest.has_value() || found > *newest)) newest = found;
  }
  if (newest.has_value()) return newest->second;
  return absl::NotFoundError(absl::StrCat("meta.load_checkpoint is true, but ", path,
                                          " has neither ", latest,
                                          " nor a checkpoint; name one in meta.read_checkpoint"));
}

absl::StatusOr<StartState> StartState::Open(const std::string& path, const ModelConfig& model) {
  const Size crop{model.grid_height * model.patch_size, model.grid_width * model.patch_size};
  IJEPA_ASSIGN_OR_RETURN(std::unique_ptr<StateSource> source, OpenState(path, crop));
  const ModelConfig theirs = Comparable(source->info().model, source->info().model);
  const ModelConfig ours = Comparable(model, source->info().model);
  if (ModelLine(theirs) != ModelLine(ours)) {
    return absl::FailedPreconditionError(absl::StrCat(
        path, " (", source->info().kind, ") has other sizes than this job: ", ModelLine(theirs),
        "; this job has ", ModelLine(ours), "; set meta and mask.patch_size to what it has"));
  }
  IJEPA_ASSIGN_OR_RETURN(source, OnGrid(std::move(source), {model.grid_height, model.grid_width}));
  return StartState(std::move(source));
}

int64_t StartState::FirstStep(int64_t steps_per_epoch) const {
  if (!info().optimizer_step.has_value()) return 0;
  int64_t epoch = 0;
  const auto found = info().values.find(kEpochKey);
  if (found != info().values.end() && absl::SimpleAtoi(found->second, &epoch)) {
    constexpr int64_t kMost = int64_t{1} << 62;  // More than any run has.
    return epoch < 0 || epoch > kMost / steps_per_epoch ? kMost : epoch * steps_per_epoch;
  }
  return info().step.value_or(*info().optimizer_step);
}

void StartState::KeepInitial(const std::vector<TensorToSave>& initial) {
  for (const TensorToSave& tensor : initial) {
    if (absl::StartsWith(tensor.name, kPredictorPrefix)) initial_[tensor.name] = tensor;
  }
}

absl::Status StartState::Read(const std::string& name, TensorType type,
                              const std::vector<int64_t>& shape, void* out) const {
  if (name == kStepName && type == TensorType::kInt64) {
    const int64_t step = info().optimizer_step.value_or(0);
    std::memcpy(out, &step, sizeof(step));
    return absl::OkStatus();
  }
  const size_t bytes = static_cast<size_t>(CountOf(shape)) * sizeof(float);
  const auto found = source_->tensors().find(name);
  if (found != source_->tensors().end()) {
    if (type == TensorType::kFloat32 && found->second == shape) {
      return source_->Read(name, static_cast<float*>(out));
    }
    return absl::InvalidArgumentError(absl::StrCat(info().path, ": tensor ", name, " has shape ",
                                                   ShapeText(found->second), "; expected ",
                                                   ShapeText(shape)));
  }
  const bool moment =
      absl::StartsWith(name, kMomentPrefix) || absl::StartsWith(name, kSquarePrefix);
  if (moment && !info().optimizer_step.has_value()) {
    std::memset(out, 0, bytes);
    return absl::OkStatus();
  }
  const auto initial = initial_.find(name);
  if (initial != initial_.end() && initial->second.shape == shape) {
    std::memcpy(out, initial->second.data, bytes);
    return absl::OkStatus();
  }
  return absl::NotFoundError(absl::StrCat(info().path, " has no tensor ", name));
}

}  // namespace jepa
