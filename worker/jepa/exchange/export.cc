// Each format is a list of tensors and a few small files.
#include "worker/jepa/exchange/export.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/file.h"
#include "common/status_macros.h"
#include "worker/jepa/exchange/hugging_face.h"
#include "worker/jepa/exchange/new_folder.h"
#include "worker/jepa/exchange/safetensors_writer.h"
#include "worker/jepa/exchange/torch_writer.h"
#include "worker/jepa/plan/model_line.h"

namespace jepa {
namespace {

constexpr char kWeightsFile[] = "/model.safetensors";
constexpr char kConfigFile[] = "/config.json";

struct FormatName {
  const char* name;
  ExportFormat format;
};
constexpr FormatName kFormats[] = {{"hf", ExportFormat::kHuggingFace},
                                   {"timm", ExportFormat::kTimm},
                                   {"pth", ExportFormat::kTorch},
                                   {"safetensors", ExportFormat::kSafetensors}};

// Rows [first, first + shape[0]) of a tensor of the state.
std::function<absl::Status(float*)> RowsOf(const StateSource& state, const std::string& name,
                                           int64_t first_row, const std::vector<int64_t>& shape) {
  return [&state, name, first_row, shape](float* out) -> absl::Status {
    const std::vector<int64_t>& whole = state.tensors().at(name);
    if (whole == shape) return state.Read(name, out);
    std::vector<float> values(static_cast<size_t>(CountOf(whole)));
    IJEPA_RETURN_IF_ERROR(state.Read(name, values.data()));
    const int64_t count = CountOf(shape);
    std::memcpy(out, values.data() + first_row * (count / shape[0]),
                static_cast<size_t>(count) * sizeof(float));
    return absl::OkStatus();
  };
}

absl::Status NeedHeads(const StateSource& state) {
  if (state.info().model.num_heads > 0) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat(state.info().path, " (", state.info().kind,
                   ") does not say how many attention heads its encoder has; import it with "
                   "--heads N first"));
}

// What readers of the file may want to know of it.
std::map<std::string, std::string> Metadata(const StateSource& state, const std::string& encoder) {
  std::map<std::string, std::string> metadata = {{"format", "pt"}};
  if (!encoder.empty()) metadata["ijepa.encoder"] = encoder;
  if (state.info().step.has_value()) metadata["ijepa.step"] = absl::StrCat(*state.info().step);
  return metadata;
}

absl::Status WriteHuggingFace(const StateSource& state, const ExportOptions& options,
                              const std::string& folder) {
  IJEPA_RETURN_IF_ERROR(NeedHeads(state));
  const ModelConfig& model = state.info().model;
  const std::string prefix = options.context_encoder ? kEncoderPrefix : kTargetPrefix;
  std::vector<FloatTensor> tensors;
  for (const HuggingFaceTensor& tensor : HuggingFaceTensors(model)) {
    tensors.push_back({tensor.name, tensor.shape,
                       RowsOf(state, prefix + tensor.published, tensor.first_row, tensor.shape)});
  }
  IJEPA_RETURN_IF_ERROR(ijepa::WriteFileAtomically(folder + kConfigFile, HuggingFaceConfig(model)));
  IJEPA_RETURN_IF_ERROR(ijepa::WriteFileAtomically(folder + "/preprocessor_config.json",
                                                   HuggingFacePreprocessor(model)));
  return WriteSafetensors(folder + kWeightsFile, tensors,
                          Metadata(state, options.context_encoder ? "context" : "target"));
}

absl::Status WriteTimm(const StateSource& state, const ExportOptions& options,
                       const std::string& folder) {
  IJEPA_RETURN_IF_ERROR(NeedHeads(state));
  const std::string prefix = options.context_encoder ? kEncoderPrefix : kTargetPrefix;
  std::vector<FloatTensor> tensors;
  for (const NamedShape& tensor : EncoderTensors(state.info().model)) {
    tensors.push_back(
        {tensor.name, tensor.shape, RowsOf(state, prefix + tensor.name, 0, tensor.shape)});
  }
  IJEPA_RETURN_IF_ERROR(
      ijepa::WriteFileAtomically(folder + kConfigFile, TimmConfig(state.info().model)));
  return WriteSafetensors(folder + kWeightsFile, tensors,
                          Metadata(state, options.context_encoder ? "context" : "target"));
}

absl::Status WriteAllWeights(const StateSource& state, const std::string& folder) {
  std::vector<FloatTensor> tensors;
  for (const auto& [name, shape] : state.tensors()) {
    std::string dotted = name;
    const size_t slash = dotted.find('/');
    dotted[slash] = '.';
    if (name.rfind("exp_avg", 0) == 0) continue;
    tensors.push_back({dotted, shape, RowsOf(state, name, 0, shape)});
  }
  std::map<std::string, std::string> metadata = Metadata(state, "");
  if (state.info().model.num_heads > 0) metadata[kModelMetadata] = ModelLine(state.info().model);
  return WriteSafetensors(folder + kWeightsFile, tensors, metadata);
}

absl::Status WriteFormat(const StateSource& state, const ExportOptions& options,
                         const std::string& folder) {
  switch (options.format) {
    case ExportFormat::kHuggingFace:
      return WriteHuggingFace(state, options, folder);
    case ExportFormat::kTimm:
      return WriteTimm(state, options, folder);
    case ExportFormat::kTorch:
      return WriteTorchState(folder + "/jepa-latest.pth.tar", state);
    case ExportFormat::kSafetensors:
      return WriteAllWeights(state, folder);
  }
  return absl::InternalError("unknown format");
}

}  // namespace

std::vector<std::string> ExportFormatNames() {
  std::vector<std::string> names;
  for (const FormatName& known : kFormats) names.emplace_back(known.name);
  return names;
}

absl::StatusOr<ExportFormat> ExportFormatByName(absl::string_view name) {
  for (const FormatName& known : kFormats) {
    if (name == known.name) return known.format;
  }
  return absl::InvalidArgumentError(absl::StrCat("format is \"", name, "\"; must be one of ",
                                                 absl::StrJoin(ExportFormatNames(), ", ")));
}

absl::Status ExportState(const StateSource& state, const ExportOptions& options) {
  IJEPA_ASSIGN_OR_RETURN(NewFolder folder, NewFolder::Make(options.folder, options.replace));
  IJEPA_RETURN_IF_ERROR(WriteFormat(state, options, folder.aside()));
  return folder.Commit(folder.aside());
}

}  // namespace jepa
