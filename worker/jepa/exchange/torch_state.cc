// Files of torch.save as sources of state: the published training state (ijepa-spec 6), or the
// state dict of one encoder.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/status_macros.h"
#include "worker/jepa/exchange/sources.h"
#include "worker/jepa/exchange/torch_file.h"

namespace jepa {
namespace {

constexpr absl::string_view kDdpPrefix = "module.";
constexpr int kGroups = 4;
constexpr size_t kMaxNotes = 20;
// Top-level entries beside the networks, the optimizer and the scaler: figures.
constexpr const char* kFigures[] = {"epoch", "loss", "batch_size", "world_size", "lr"};
// A float32 counts steps exactly up to here.
constexpr float kMaxStep = 16777216.0f;

absl::Status Wrong(absl::string_view name, absl::string_view rule) {
  return absl::InvalidArgumentError(
      absl::StrCat("entry \"", absl::CEscape(name.substr(0, 200)), "\" ", rule));
}

// The entry of a dictionary, or null.
const PickleValue* Entry(const PickleValue& dict, const std::string& key) {
  const auto found = dict.by_text.find(key);
  return found == dict.by_text.end() ? nullptr : found->second;
}

bool IsDict(const PickleValue* value) {
  return value != nullptr && value->kind == PickleKind::kDict;
}

bool IsNumber(const PickleValue* value) {
  return value != nullptr && (value->kind == PickleKind::kInt || value->kind == PickleKind::kFloat);
}

std::string NumberText(const PickleValue& value) {
  return value.kind == PickleKind::kInt ? absl::StrCat(value.number)
                                        : absl::StrFormat("%.17g", value.real);
}

// Tensors by the names of checkpoints. Filled by TorchStateReader.
struct TorchTensors {
  TensorShapes shapes;
  std::map<std::string, const PickledTensor*> places;

  void Add(const std::string& name, const PickledTensor& tensor) {
    shapes[name] = tensor.shape;
    places[name] = &tensor;
  }
};

class TorchState : public StateSource {
 public:
  TorchState(TorchFile file, StateInfo info, TorchTensors tensors)
      : file_(std::move(file)), info_(std::move(info)), tensors_(std::move(tensors)) {}

  const StateInfo& info() const override { return info_; }
  const TensorShapes& tensors() const override { return tensors_.shapes; }
  absl::Status Read(const std::string& name, float* out) const override {
    const auto found = tensors_.places.find(name);
    if (found == tensors_.places.end()) {
      return absl::NotFoundError(absl::StrCat(info_.path, " has no tensor ", name));
    }
    const absl::Status status =
        file_.ReadFloats(*found->second, CountOf(found->second->shape), out);
    if (status.ok()) return status;
    return absl::Status(status.code(),
                        absl::StrCat(info_.path, ": tensor ", name, ": ", status.message()));
  }

 private:
  const TorchFile file_;
  const StateInfo info_;
  const TorchTensors tensors_;
};

// Takes the dictionaries of a file apart.
class TorchStateReader {
 public:
  explicit TorchStateReader(const TorchFile& file) : file_(file), root_(file.root()) {}

  absl::Status Run();

  StateInfo info;
  TorchTensors tensors;

 private:
  absl::Status ReadNetworks();
  absl::Status ReadStateDict(const PickleValue& dict, const std::string& prefix);
  absl::Status ReadOptimizer(const PickleValue& optimizer);
  absl::Status CheckGroups(const PickleValue& groups, const std::vector<OptimizerSlot>& slots);
  absl::Status ReadGroup(const PickleValue& group);
  absl::Status ReadMoments(const PickleValue& state, const std::vector<OptimizerSlot>& slots);
  absl::StatusOr<int64_t> ReadStep(const PickleValue& value);
  absl::Status ReadFigures();
  void ReadScaler(const PickleValue& scaler);

  const TorchFile& file_;
  const PickleValue& root_;
};

// `module.` stands before all keys or before none.
absl::Status TorchStateReader::ReadStateDict(const PickleValue& dict, const std::string& prefix) {
  if (!dict.by_number.empty()) return Wrong(prefix, "has a key that is a number");
  if (dict.by_text.empty()) return Wrong(prefix, "has no tensors");
  const bool wrapped = absl::StartsWith(dict.by_text.begin()->first, kDdpPrefix);
  for (const auto& [key, value] : dict.by_text) {
    if (value->kind != PickleKind::kTensor) {
      return Wrong(prefix + key,
                   absl::StrCat("is ", PickleKindName(value->kind), "; must be a tensor"));
    }
    if (absl::StartsWith(key, kDdpPrefix) != wrapped) {
      return Wrong(prefix + key, "differs from the others in its prefix module.");
    }
    tensors.Add(prefix + (wrapped ? key.substr(kDdpPrefix.size()) : key), *value->tensor);
  }
  return absl::OkStatus();
}

absl::Status TorchStateReader::ReadNetworks() {
  const PickleValue* target = Entry(root_, "target_encoder");
  const PickleValue* encoder = Entry(root_, "encoder");
  if (target == nullptr && encoder == nullptr) {
    info.kind = "torch.save file of one encoder";
    IJEPA_RETURN_IF_ERROR(ReadStateDict(root_, kTargetPrefix));
    return ReadStateDict(root_, kEncoderPrefix);
  }
  info.kind = "torch.save file of a training state";
  const std::pair<const char*, const char*> networks[] = {{"encoder", kEncoderPrefix},
                                                          {"target_encoder", kTargetPrefix},
                                                          {"predictor", kPredictorPrefix}};
  for (const auto& [key, prefix] : networks) {
    const PickleValue* dict = Entry(root_, key);
    if (!IsDict(dict)) return Wrong(key, "is missing or no dictionary");
    IJEPA_RETURN_IF_ERROR(ReadStateDict(*dict, prefix));
  }
  return absl::OkStatus();
}

// Learning rate, weight decay and betas of the first group stand for all.
absl::Status TorchStateReader::ReadGroup(const PickleValue& group) {
  const PickleValue* lr = Entry(group, "lr");
  const PickleValue* decay = Entry(group, "weight_decay");
  const PickleValue* betas = Entry(group, "betas");
  const PickleValue* amsgrad = Entry(group, "amsgrad");
  if (amsgrad != nullptr && amsgrad->kind == PickleKind::kBool && amsgrad->number != 0) {
    return Wrong("opt/param_groups", "has amsgrad; AdamW without it is what is trained here");
  }
  if (IsNumber(lr)) info.values[kGroupLrKey] = NumberText(*lr);
  if (IsNumber(decay)) info.values[kGroupDecayKey] = NumberText(*decay);
  if (betas != nullptr && betas->items.size() == 2 && IsNumber(betas->items[0]) &&
      IsNumber(betas->items[1])) {
    info.values[kBeta1Key] = NumberText(*betas->items[0]);
    info.values[kBeta2Key] = NumberText(*betas->items[1]);
  }
  return absl::OkStatus();
}

// The groups must number the parameters in the published order, or moments would go astray.
absl::Status TorchStateReader::CheckGroups(const PickleValue& groups,
                                           const std::vector<OptimizerSlot>& slots) {
  if (groups.items.size() != kGroups) {
    return Wrong("opt/param_groups",
                 absl::StrCat("has ", groups.items.size(), " groups; must be ", kGroups));
  }
  size_t next = 0;
  for (int group = 0; group < kGroups; ++group) {
    const PickleValue& entry = *groups.items[static_cast<size_t>(group)];
    const PickleValue* numbers = IsDict(&entry) ? Entry(entry, "params") : nullptr;
    if (numbers == nullptr || numbers->kind != PickleKind::kList) {
      return Wrong("opt/param_groups", "has a group without a list of params");
    }
    for (const PickleValue* number : numbers->items) {
      if (next >= slots.size() || number->kind != PickleKind::kInt ||
          number->number != static_cast<int64_t>(next) || slots[next].group != group) {
        return Wrong("opt/param_groups", absl::StrCat("group ", group,
                                                      " does not number the parameters as the "
                                                      "published program does"));
      }
      ++next;
    }
  }
  if (next != slots.size()) {
    return Wrong("opt/param_groups",
                 absl::StrCat("has ", next, " parameters; this model has ", slots.size()));
  }
  return ReadGroup(*groups.items[0]);
}

// A scalar tensor; an integer in files of older versions.
absl::StatusOr<int64_t> TorchStateReader::ReadStep(const PickleValue& value) {
  if (value.kind == PickleKind::kInt && value.number >= 0) return value.number;
  if (value.kind != PickleKind::kTensor || CountOf(value.tensor->shape) != 1) {
    return Wrong("opt/state/step", "is neither an integer nor one number");
  }
  float step = 0;
  IJEPA_RETURN_IF_ERROR(file_.ReadFloats(*value.tensor, 1, &step));
  if (!(step >= 0 && step <= kMaxStep) || step != std::floor(step)) {
    return Wrong("opt/state/step", absl::StrCat("is ", step, "; must be a whole number"));
  }
  return static_cast<int64_t>(step);
}

absl::Status TorchStateReader::ReadMoments(const PickleValue& state,
                                           const std::vector<OptimizerSlot>& slots) {
  for (const auto& [number, entry] : state.by_number) {
    const std::string name = absl::StrCat("opt/state/", number);
    if (number < 0 || number >= static_cast<int64_t>(slots.size()) ||
        !slots[static_cast<size_t>(number)].has_state) {
      return Wrong(name, "is of no trainable parameter");
    }
    const OptimizerSlot& slot = slots[static_cast<size_t>(number)];
    const bool plain = IsDict(entry) && entry->by_text.size() == 3 && entry->by_number.empty();
    const PickleValue* step = plain ? Entry(*entry, "step") : nullptr;
    const PickleValue* moment = plain ? Entry(*entry, "exp_avg") : nullptr;
    const PickleValue* square = plain ? Entry(*entry, "exp_avg_sq") : nullptr;
    if (step == nullptr || moment == nullptr || square == nullptr ||
        moment->kind != PickleKind::kTensor || square->kind != PickleKind::kTensor) {
      return Wrong(name, "must be step, exp_avg and exp_avg_sq");
    }
    IJEPA_ASSIGN_OR_RETURN(const int64_t count, ReadStep(*step));
    if (info.optimizer_step.value_or(count) != count) {
      return Wrong(name, absl::StrCat("has made ", count, " steps, others ", *info.optimizer_step));
    }
    info.optimizer_step = count;
    tensors.Add(kMomentPrefix + slot.name, *moment->tensor);
    tensors.Add(kSquarePrefix + slot.name, *square->tensor);
  }
  return absl::OkStatus();
}

absl::Status TorchStateReader::ReadOptimizer(const PickleValue& optimizer) {
  const PickleValue* state = IsDict(&optimizer) ? Entry(optimizer, "state") : nullptr;
  const PickleValue* groups = IsDict(&optimizer) ? Entry(optimizer, "param_groups") : nullptr;
  if (!IsDict(state) || !state->by_text.empty() || groups == nullptr ||
      groups->kind != PickleKind::kList) {
    return Wrong("opt", "must be a dictionary of state and param_groups");
  }
  const std::vector<OptimizerSlot> slots = OptimizerSlots(info.model);
  IJEPA_RETURN_IF_ERROR(CheckGroups(*groups, slots));
  return ReadMoments(*state, slots);
}

void TorchStateReader::ReadScaler(const PickleValue& scaler) {
  if (!IsDict(&scaler)) {
    info.values[kScalerKey] = "null";
    return;
  }
  nlohmann::json numbers = nlohmann::json::object();
  for (const auto& [key, value] : scaler.by_text) {
    if (!IsNumber(value)) continue;
    if (value->kind == PickleKind::kInt) {
      numbers[key] = value->number;
    } else {
      numbers[key] = value->real;
    }
  }
  // Keys come from outside and need not be UTF-8.
  info.values[kScalerKey] = numbers.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
}

absl::Status TorchStateReader::ReadFigures() {
  for (const auto& [key, value] : root_.by_text) {
    const bool figure =
        std::find(std::begin(kFigures), std::end(kFigures), key) != std::end(kFigures);
    if (key == "epoch" && (value->kind != PickleKind::kInt || value->number < 0)) {
      return Wrong(key, "must be a count of finished epochs");
    }
    if (figure && IsNumber(value)) {
      info.values[key] = NumberText(*value);
    } else if (key == "scaler") {
      ReadScaler(*value);
    } else if (key != "opt" && key != "encoder" && key != "target_encoder" && key != "predictor" &&
               info.notes.size() < kMaxNotes) {
      info.notes.push_back(absl::StrCat("entry \"", absl::CEscape(key), "\" (",
                                        PickleKindName(value->kind), ") is left out"));
    }
  }
  return absl::OkStatus();
}

absl::Status TorchStateReader::Run() {
  if (!IsDict(&root_)) return absl::InvalidArgumentError("holds no dictionary");
  IJEPA_RETURN_IF_ERROR(ReadNetworks());
  IJEPA_ASSIGN_OR_RETURN(info.model, InferModel(tensors.shapes));
  const bool whole = Entry(root_, "encoder") != nullptr;
  const PickleValue* optimizer = whole ? Entry(root_, "opt") : nullptr;
  if (optimizer != nullptr && optimizer->kind != PickleKind::kNone) {
    IJEPA_RETURN_IF_ERROR(ReadOptimizer(*optimizer));
  }
  if (whole) IJEPA_RETURN_IF_ERROR(ReadFigures());
  return CheckTensors(info.model, tensors.shapes);
}

}  // namespace

absl::StatusOr<std::unique_ptr<StateSource>> OpenTorchState(const std::string& path,
                                                            std::unique_ptr<ByteSource> bytes) {
  IJEPA_ASSIGN_OR_RETURN(TorchFile file, TorchFile::Open(std::move(bytes)));
  TorchStateReader reader(file);
  IJEPA_RETURN_IF_ERROR(reader.Run());
  reader.info.path = path;
  return std::make_unique<TorchState>(std::move(file), std::move(reader.info),
                                      std::move(reader.tensors));
}

}  // namespace jepa
