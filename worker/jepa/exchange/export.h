// Writes a training state in the formats of other programs. docs/FORMATS.md.
#ifndef IJEPA_WORKER_JEPA_EXCHANGE_EXPORT_H_
#define IJEPA_WORKER_JEPA_EXCHANGE_EXPORT_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "worker/jepa/exchange/state_source.h"

namespace jepa {

enum class ExportFormat {
  kHuggingFace,  // "hf": config.json, preprocessor_config.json, model.safetensors of one encoder.
  kTimm,         // "timm": config.json and model.safetensors of one encoder, published names.
  kTorch,        // "pth": jepa-latest.pth.tar, the published training state.
  kSafetensors,  // "safetensors": model.safetensors of all networks, published names.
};

struct ExportOptions {
  ExportFormat format = ExportFormat::kHuggingFace;
  // hf and timm: the target encoder, which the paper evaluates, or the context encoder.
  bool context_encoder = false;
  std::string folder;
  bool replace = false;  // A folder that an export wrote before.
};

// "hf", "timm", "pth", "safetensors". Returns InvalidArgument naming all for another one.
absl::StatusOr<ExportFormat> ExportFormatByName(absl::string_view name);
std::vector<std::string> ExportFormatNames();

// Writes options.folder, whole or not at all. Returns FailedPrecondition if the state lacks what
// the format needs (pth: predictor, moments, figures; hf and timm: the number of heads),
// AlreadyExists if the folder is there; errors of reading and of the file system.
absl::Status ExportState(const StateSource& state, const ExportOptions& options);

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_EXCHANGE_EXPORT_H_
