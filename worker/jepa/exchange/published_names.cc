// Lists of tensors, and sizes from shapes.
#include "worker/jepa/exchange/published_names.h"

#include <algorithm>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/status_macros.h"
#include "worker/jepa/exchange/pixel_scale.h"
#include "worker/jepa/plan/arithmetic.h"
#include "worker/jepa/plan/parameter_table.h"

namespace jepa {
namespace {

// Past these no model is believed; ViT-g is 1408 wide, 40 deep, with 6144 and patches of 16.
constexpr int64_t kMaxWidth = 1 << 16;
constexpr int64_t kMaxDepth = 256;
constexpr int64_t kMaxPatches = 1 << 20;

absl::Status Wrong(absl::string_view name, absl::string_view rule) {
  return absl::InvalidArgumentError(
      absl::StrCat("tensor ", absl::CEscape(name.substr(0, 200)), " ", rule));
}

int64_t Patches(const ModelConfig& model) { return int64_t{model.grid_height} * model.grid_width; }

// The shape of a tensor that must be there with so many dimensions, each in [1, kMaxWidth] but for
// a table's patches.
absl::StatusOr<std::vector<int64_t>> ShapeOf(const TensorShapes& shapes, const std::string& name,
                                             size_t dimensions) {
  const auto found = shapes.find(name);
  if (found == shapes.end()) return Wrong(name, "is missing");
  const bool sound = found->second.size() == dimensions &&
                     std::all_of(found->second.begin(), found->second.end(),
                                 [](int64_t size) { return size >= 1 && size <= kMaxPatches; }) &&
                     found->second[0] <= kMaxWidth;
  if (sound) return found->second;
  return Wrong(name, absl::StrCat("has shape ", ShapeText(found->second), "; expected ", dimensions,
                                  " sizes within bounds"));
}

// One more than the highest N of names PREFIX + "N.".
absl::StatusOr<int> DepthOf(const TensorShapes& shapes, const std::string& prefix) {
  int64_t depth = 0;
  for (auto entry = shapes.lower_bound(prefix); entry != shapes.end(); ++entry) {
    if (!absl::StartsWith(entry->first, prefix)) break;
    const std::string rest = entry->first.substr(prefix.size());
    int64_t block = 0;
    if (!absl::SimpleAtoi(rest.substr(0, rest.find('.')), &block) || block < 0 ||
        block >= kMaxDepth) {
      return Wrong(entry->first, absl::StrCat("is of no block in [0, ", kMaxDepth, ")"));
    }
    depth = std::max(depth, block + 1);
  }
  return static_cast<int>(depth);
}

absl::Status InferPredictor(const TensorShapes& shapes, ModelConfig& model) {
  const std::string prefix = kPredictorPrefix;
  const auto first = shapes.lower_bound(prefix);
  if (first == shapes.end() || !absl::StartsWith(first->first, prefix)) return absl::OkStatus();
  IJEPA_ASSIGN_OR_RETURN(const std::vector<int64_t> embed,
                         ShapeOf(shapes, prefix + "predictor_embed.weight", 2));
  IJEPA_ASSIGN_OR_RETURN(model.pred_depth, DepthOf(shapes, prefix + "predictor_blocks."));
  IJEPA_ASSIGN_OR_RETURN(const std::vector<int64_t> fc1,
                         ShapeOf(shapes, prefix + "predictor_blocks.0.mlp.fc1.weight", 2));
  model.pred_embed_dim = static_cast<int>(embed[0]);
  model.pred_mlp_hidden = static_cast<int>(fc1[0]);
  return absl::OkStatus();
}

void AddShapes(const std::string& prefix, const std::vector<NamedShape>& list,
               TensorShapes& shapes) {
  for (const NamedShape& entry : list) shapes[prefix + entry.name] = entry.shape;
}

}  // namespace

int64_t CountOf(const std::vector<int64_t>& shape) {
  int64_t count = 1;
  for (const int64_t size : shape) {
    if (size == 0) return 0;
    count *= size;
  }
  return count;
}

std::string ShapeText(const std::vector<int64_t>& shape) {
  return absl::StrCat("[", absl::StrJoin(shape, ", "), "]");
}

std::vector<NamedShape> EncoderTensors(const ModelConfig& model) {
  std::vector<NamedShape> list = {{kEncoderTable, {1, Patches(model), model.embed_dim}}};
  for (ParameterInfo& info : EncoderParameterTable(model)) {
    list.push_back({std::move(info.name), std::move(info.shape)});
  }
  return list;
}

std::vector<NamedShape> PredictorTensors(const ModelConfig& model) {
  std::vector<NamedShape> list;
  for (ParameterInfo& info : PredictorParameterTable(model)) {
    list.push_back({std::move(info.name), std::move(info.shape)});
  }
  // The table is second, after mask_token.
  list.insert(list.begin() + 1, {kPredictorTable, {1, Patches(model), model.pred_embed_dim}});
  return list;
}

std::vector<OptimizerSlot> OptimizerSlots(const ModelConfig& model) {
  std::vector<OptimizerSlot> slots;
  const std::vector<NamedShape> networks[2] = {EncoderTensors(model), PredictorTensors(model)};
  for (int group = 0; group < 4; ++group) {
    for (const NamedShape& entry : networks[group % 2]) {
      if ((entry.shape.size() > 1) != (group < 2)) continue;
      slots.push_back(
          {.name = absl::StrCat(group % 2 == 0 ? kEncoderPrefix : kPredictorPrefix, entry.name),
           .shape = entry.shape,
           .group = group,
           .has_state = entry.name != kEncoderTable && entry.name != kPredictorTable});
    }
  }
  return slots;
}

absl::StatusOr<ModelConfig> InferModel(const TensorShapes& shapes) {
  const std::string prefix = kTargetPrefix;
  ModelConfig model;
  IJEPA_ASSIGN_OR_RETURN(const std::vector<int64_t> patch,
                         ShapeOf(shapes, prefix + "patch_embed.proj.weight", 4));
  IJEPA_ASSIGN_OR_RETURN(const std::vector<int64_t> table,
                         ShapeOf(shapes, prefix + kEncoderTable, 3));
  IJEPA_ASSIGN_OR_RETURN(const std::vector<int64_t> fc1,
                         ShapeOf(shapes, prefix + "blocks.0.mlp.fc1.weight", 2));
  IJEPA_ASSIGN_OR_RETURN(model.depth, DepthOf(shapes, prefix + "blocks."));
  model.grid_height = 1;
  model.grid_width = static_cast<int>(table[1]);
  model.patch_size = static_cast<int>(patch[2]);
  model.channels = static_cast<int>(patch[1]);
  model.scale = AssumedPixelScale(model.channels);
  model.embed_dim = static_cast<int>(patch[0]);
  model.mlp_hidden = static_cast<int>(fc1[0]);
  IJEPA_RETURN_IF_ERROR(InferPredictor(shapes, model));
  return model;
}

absl::Status CheckTensors(const ModelConfig& model, const TensorShapes& shapes) {
  TensorShapes expected;
  AddShapes(kTargetPrefix, EncoderTensors(model), expected);
  AddShapes(kEncoderPrefix, EncoderTensors(model), expected);
  if (model.pred_depth > 0) AddShapes(kPredictorPrefix, PredictorTensors(model), expected);
  const auto moment = shapes.lower_bound(kMomentPrefix);
  if (moment != shapes.end() && absl::StartsWith(moment->first, "exp_avg")) {
    for (const OptimizerSlot& slot : OptimizerSlots(model)) {
      if (!slot.has_state) continue;
      expected[kMomentPrefix + slot.name] = slot.shape;
      expected[kSquarePrefix + slot.name] = slot.shape;
    }
  }
  for (const auto& [name, shape] : expected) {
    const auto found = shapes.find(name);
    if (found == shapes.end()) return Wrong(name, "is missing");
    if (found->second != shape) {
      return Wrong(name, absl::StrCat("has shape ", ShapeText(found->second), "; expected ",
                                      ShapeText(shape)));
    }
  }
  for (const auto& [name, shape] : shapes) {
    if (expected.count(name) == 0) {
      return Wrong(name, "is not one of an I-JEPA model of these sizes");
    }
  }
  return absl::OkStatus();
}

int PublishedHeads(int embed_dim) {
  for (const std::string& name : EncoderNames()) {
    const absl::StatusOr<EncoderShape> shape = EncoderByName(name);
    if (shape.ok() && shape->embed_dim == embed_dim) return shape->num_heads;
  }
  return 0;
}

}  // namespace jepa
