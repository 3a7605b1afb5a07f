// Tells the kinds apart by what is there, not by names of files.
#include "worker/jepa/exchange/state_source.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/status_macros.h"
#include "worker/jepa/checkpoint/checkpoint_name.h"
#include "worker/jepa/exchange/settle_grid.h"
#include "worker/jepa/exchange/sources.h"
#include "worker/jepa/exchange/state_with_info.h"

namespace jepa {
namespace {

// A source that gives no tensor with a value that is no finite number.
class FiniteState : public StateSource {
 public:
  explicit FiniteState(std::unique_ptr<StateSource> source) : source_(std::move(source)) {}

  const StateInfo& info() const override { return source_->info(); }
  const TensorShapes& tensors() const override { return source_->tensors(); }
  absl::Status Read(const std::string& name, float* out) const override {
    IJEPA_RETURN_IF_ERROR(source_->Read(name, out));
    const int64_t count = CountOf(tensors().at(name));
    const int64_t bad =
        std::count_if(out, out + count, [](float value) { return !std::isfinite(value); });
    if (bad == 0) return absl::OkStatus();
    return absl::DataLossError(
        absl::StrCat(info().path, ": tensor ", name, " has ", bad, " of ", count,
                     " values that are NaN or infinite; every value must be finite"));
  }

 private:
  const std::unique_ptr<StateSource> source_;
};

bool Exists(const std::string& path) {
  std::error_code error;
  return std::filesystem::exists(path, error);
}

// The first bytes decide: zip archives and pickles are of torch.save, the rest is safetensors.
absl::StatusOr<std::unique_ptr<StateSource>> OpenFileState(const std::string& path) {
  IJEPA_ASSIGN_OR_RETURN(std::unique_ptr<ByteSource> bytes, OpenBytes(path));
  std::array<char, 9> start{};
  if (bytes->size() < start.size()) {
    return absl::DataLossError(absl::StrCat("has ", bytes->size(), " bytes; too few for weights"));
  }
  IJEPA_RETURN_IF_ERROR(bytes->ReadAt(0, start.data(), start.size()));
  if (start[8] == '{') return OpenWeights(path, "");
  return OpenTorchState(path, std::move(bytes));
}

absl::StatusOr<std::unique_ptr<StateSource>> OpenFolderState(const std::string& path) {
  if (Exists(absl::StrCat(path, "/", kManifestName))) return OpenCheckpointState(path);
  const std::string weights = absl::StrCat(path, "/model.safetensors");
  const std::string config = absl::StrCat(path, "/config.json");
  if (Exists(weights)) return OpenWeights(weights, Exists(config) ? config : "");
  if (Exists(absl::StrCat(weights, ".index.json"))) {
    return absl::UnimplementedError(
        "its weights are in several files; save them as one model.safetensors first");
  }
  return absl::NotFoundError(
      "is a folder with neither manifest.json (a checkpoint) nor model.safetensors");
}

absl::StatusOr<std::unique_ptr<StateSource>> OpenSettled(const std::string& path, Size crop) {
  std::error_code error;
  const bool folder = std::filesystem::is_directory(path, error);
  IJEPA_ASSIGN_OR_RETURN(std::unique_ptr<StateSource> source,
                         folder ? OpenFolderState(path) : OpenFileState(path));
  source = std::make_unique<FiniteState>(std::move(source));
  IJEPA_ASSIGN_OR_RETURN(StateInfo info, SettleGrid(*source, crop));
  return std::make_unique<StateWithInfo>(std::move(source), std::move(info));
}

}  // namespace

absl::StatusOr<std::unique_ptr<StateSource>> OpenState(const std::string& path, Size crop) {
  absl::StatusOr<std::unique_ptr<StateSource>> source = OpenSettled(path, crop);
  if (source.ok()) return source;
  const absl::Status& status = source.status();
  if (absl::StrContains(status.message(), path)) return status;
  return absl::Status(status.code(), absl::StrCat(path, ": ", status.message()));
}

}  // namespace jepa
