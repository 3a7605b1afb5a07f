// safetensors files as sources of weights, with Hugging Face's names, published ones, or those of
// all three networks.
#include <algorithm>
#include <cstdint>
#include <set>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "common/status_macros.h"
#include "worker/jepa/checkpoint/safetensors.h"
#include "worker/jepa/exchange/config_file.h"
#include "worker/jepa/exchange/hugging_face.h"
#include "worker/jepa/exchange/safetensors_writer.h"
#include "worker/jepa/exchange/sources.h"
#include "worker/jepa/plan/model_line.h"

namespace jepa {
namespace {

absl::Status Wrong(absl::string_view name, absl::string_view rule) {
  return absl::InvalidArgumentError(
      absl::StrCat("tensor ", absl::CEscape(name.substr(0, 200)), " ", rule));
}

// Where the values of a tensor are: runs of the file's tensors, one after the other.
struct Run {
  const SafetensorsEntry* entry = nullptr;
  int64_t first = 0;  // Element of the tensor at which the run begins.
};

struct WeightTensors {
  TensorShapes shapes;
  std::map<std::string, std::vector<Run>> runs;
};

class WeightsState : public StateSource {
 public:
  WeightsState(SafetensorsFile file, StateInfo info, WeightTensors tensors)
      : file_(std::move(file)), info_(std::move(info)), tensors_(std::move(tensors)) {}

  const StateInfo& info() const override { return info_; }
  const TensorShapes& tensors() const override { return tensors_.shapes; }
  absl::Status Read(const std::string& name, float* out) const override {
    const auto found = tensors_.runs.find(name);
    if (found == tensors_.runs.end()) {
      return absl::NotFoundError(absl::StrCat(info_.path, " has no tensor ", name));
    }
    for (const Run& run : found->second) {
      IJEPA_RETURN_IF_ERROR(file_.Read(*run.entry, out + run.first));
    }
    return absl::OkStatus();
  }

 private:
  const SafetensorsFile file_;
  const StateInfo info_;
  const WeightTensors tensors_;
};

// Sorts a file's tensors under the names of checkpoints.
class WeightsReader {
 public:
  explicit WeightsReader(const SafetensorsFile& file) : file_(file) {}

  absl::Status Run();

  StateInfo info;
  WeightTensors tensors;

 private:
  absl::Status CheckTypes() const;
  absl::Status ReadHuggingFace();
  void Add(const std::string& name, const SafetensorsEntry& entry);
  // Both encoders get the same values.
  void AddEncoder(const std::string& name, const SafetensorsEntry& entry);

  const SafetensorsFile& file_;
};

absl::Status WeightsReader::CheckTypes() const {
  for (const SafetensorsEntry& entry : file_.tensors()) {
    if (entry.type != SafetensorsType::kFloat32) {
      return Wrong(entry.name, "is not F32; convert it first");
    }
  }
  return absl::OkStatus();
}

void WeightsReader::Add(const std::string& name, const SafetensorsEntry& entry) {
  tensors.shapes[name] = entry.shape;
  tensors.runs[name] = {{&entry, 0}};
}

void WeightsReader::AddEncoder(const std::string& name, const SafetensorsEntry& entry) {
  Add(kTargetPrefix + name, entry);
  Add(kEncoderPrefix + name, entry);
}

// Sizes from a few tensors, then every tensor by its name and shape.
absl::Status WeightsReader::ReadHuggingFace() {
  const auto size_of = [&](const std::string& name, size_t axis) -> int64_t {
    const SafetensorsEntry* entry = file_.Find(name);
    return entry != nullptr && entry->shape.size() > axis ? entry->shape[axis] : 0;
  };
  const std::string layer = "encoder.layer.";
  TensorShapes probe;
  probe["target_encoder/patch_embed.proj.weight"] =
      file_.Find("embeddings.patch_embeddings.projection.weight")->shape;
  probe["target_encoder/pos_embed"] = {1, size_of("embeddings.position_embeddings", 1),
                                       size_of("embeddings.position_embeddings", 2)};
  probe["target_encoder/blocks.0.mlp.fc1.weight"] = {
      size_of(layer + "0.intermediate.dense.weight", 0),
      size_of(layer + "0.intermediate.dense.weight", 1)};
  IJEPA_ASSIGN_OR_RETURN(info.model, InferModel(probe));
  while (file_.Find(absl::StrCat(layer, info.model.depth, ".output.dense.weight")) != nullptr) {
    ++info.model.depth;
  }
  std::set<std::string> known;
  for (const HuggingFaceTensor& part : HuggingFaceTensors(info.model)) {
    const SafetensorsEntry* entry = file_.Find(part.name);
    if (entry == nullptr) return Wrong(part.name, "is missing");
    if (entry->shape != part.shape) {
      return Wrong(part.name, absl::StrCat("has shape ", ShapeText(entry->shape), "; expected ",
                                           ShapeText(part.shape)));
    }
    known.insert(part.name);
    const int64_t row = part.shape.size() > 1 ? CountOf(part.shape) / part.shape[0] : 1;
    for (const char* prefix : {kTargetPrefix, kEncoderPrefix}) {
      tensors.runs[prefix + part.published].push_back({entry, part.first_row * row});
    }
  }
  for (const SafetensorsEntry& entry : file_.tensors()) {
    if (known.count(entry.name) == 0) {
      return Wrong(entry.name, "is not one of an IJepaModel of these sizes");
    }
  }
  for (const NamedShape& tensor : EncoderTensors(info.model)) {
    tensors.shapes[kTargetPrefix + tensor.name] = tensor.shape;
    tensors.shapes[kEncoderPrefix + tensor.name] = tensor.shape;
  }
  return absl::OkStatus();
}

absl::Status WeightsReader::Run() {
  IJEPA_RETURN_IF_ERROR(CheckTypes());
  if (file_.Find("embeddings.patch_embeddings.projection.weight") != nullptr) {
    info.kind = "weights with Hugging Face names";
    return ReadHuggingFace();
  }
  const bool all = file_.Find("target_encoder.patch_embed.proj.weight") != nullptr;
  info.kind = all ? "weights of all networks" : "weights of one encoder";
  for (const SafetensorsEntry& entry : file_.tensors()) {
    if (!all) {
      AddEncoder(entry.name, entry);
      continue;
    }
    // "predictor.predictor_blocks.0..." -> "predictor/predictor_blocks.0..."
    const size_t dot = entry.name.find('.');
    const std::string network = entry.name.substr(0, dot);
    if (network != "encoder" && network != "target_encoder" && network != "predictor") {
      return Wrong(entry.name, "is of no network");
    }
    Add(absl::StrCat(network, "/", entry.name.substr(dot + 1)), entry);
  }
  IJEPA_ASSIGN_OR_RETURN(info.model, InferModel(tensors.shapes));
  const auto line = file_.metadata().find(kModelMetadata);
  if (line != file_.metadata().end()) {
    IJEPA_ASSIGN_OR_RETURN(const ModelConfig model, ParseModelLine(line->second));
    info.model.num_heads = model.num_heads;
    info.model.grid_height = model.grid_height;
    info.model.grid_width = model.grid_width;
    info.grid_known = true;
  }
  return CheckTensors(info.model, tensors.shapes);
}

}  // namespace

absl::StatusOr<std::unique_ptr<StateSource>> OpenWeights(const std::string& path,
                                                         const std::string& config_path) {
  IJEPA_ASSIGN_OR_RETURN(SafetensorsFile file, SafetensorsFile::Open(path));
  WeightsReader reader(file);
  IJEPA_RETURN_IF_ERROR(reader.Run());
  if (!config_path.empty()) IJEPA_RETURN_IF_ERROR(ReadConfigFile(config_path, reader.info));
  reader.info.path = path;
  return std::make_unique<WeightsState>(std::move(file), std::move(reader.info),
                                        std::move(reader.tensors));
}

}  // namespace jepa
