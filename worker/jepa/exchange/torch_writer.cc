// The pickle is written first and numbers the storages; their data follows in that order.
#include "worker/jepa/exchange/torch_writer.h"

#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/jepa/exchange/pickle_writer.h"
#include "worker/jepa/exchange/zip_writer.h"

namespace jepa {
namespace {

// Name of the folder in the archive; torch.save takes that of the file.
constexpr absl::string_view kFolder = "archive/";
// Version of the layout, as torch.save writes it.
constexpr absl::string_view kVersion = "3\n";
constexpr double kAdamEps = 1e-8;
// torch.amp.GradScaler before its first step.
constexpr absl::string_view kFreshScaler =
    R"({"scale":65536.0,"growth_factor":2.0,"backoff_factor":0.5,"growth_interval":2000,)"
    R"("_growth_tracker":0})";

struct Figures {
  int64_t epoch = 0;
  double loss = 0;
  int64_t batch_size = 0;
  int64_t world_size = 0;
  double peak_lr = 0;
  double group_lr = 0;
  double group_decay = 0;
  double beta1 = 0;
  double beta2 = 0;
};

absl::Status Missing(const StateSource& state, absl::string_view what) {
  return absl::FailedPreconditionError(absl::StrCat(
      state.info().path, " (", state.info().kind, ") has no ", what,
      ", which a training state needs; export the weights as hf, timm or safetensors instead"));
}

template <typename Number>
absl::Status ReadFigure(const StateSource& state, const char* key, Number* out) {
  const auto found = state.info().values.find(key);
  bool sound = found != state.info().values.end();
  if constexpr (std::is_integral_v<Number>) {
    sound = sound && absl::SimpleAtoi(found->second, out);
  } else {
    sound = sound && absl::SimpleAtod(found->second, out);
  }
  return sound ? absl::OkStatus() : Missing(state, absl::StrCat("figure ", key));
}

absl::StatusOr<int64_t> EpochOf(const StateSource& state) {
  int64_t epoch = 0;
  if (state.info().values.count(kEpochKey) > 0) {
    IJEPA_RETURN_IF_ERROR(ReadFigure(state, kEpochKey, &epoch));
    return epoch;
  }
  int64_t steps_per_epoch = 0;
  IJEPA_RETURN_IF_ERROR(ReadFigure(state, kStepsPerEpochKey, &steps_per_epoch));
  if (!state.info().step.has_value() || steps_per_epoch < 1) return Missing(state, "step");
  return *state.info().step / steps_per_epoch;
}

absl::StatusOr<Figures> ReadFigures(const StateSource& state) {
  Figures figures;
  IJEPA_ASSIGN_OR_RETURN(figures.epoch, EpochOf(state));
  IJEPA_RETURN_IF_ERROR(ReadFigure(state, kLossKey, &figures.loss));
  IJEPA_RETURN_IF_ERROR(ReadFigure(state, kBatchSizeKey, &figures.batch_size));
  IJEPA_RETURN_IF_ERROR(ReadFigure(state, kWorldSizeKey, &figures.world_size));
  IJEPA_RETURN_IF_ERROR(ReadFigure(state, kPeakLrKey, &figures.peak_lr));
  IJEPA_RETURN_IF_ERROR(ReadFigure(state, kGroupLrKey, &figures.group_lr));
  IJEPA_RETURN_IF_ERROR(ReadFigure(state, kGroupDecayKey, &figures.group_decay));
  IJEPA_RETURN_IF_ERROR(ReadFigure(state, kBeta1Key, &figures.beta1));
  IJEPA_RETURN_IF_ERROR(ReadFigure(state, kBeta2Key, &figures.beta2));
  return figures;
}

// A storage of the file: a tensor of the state, or the optimizer's count of steps.
struct StoredTensor {
  std::string name;  // Empty: the count of steps.
  int64_t count = 1;
};

// Writes the pickle and remembers which tensor each storage is.
class StatePickle {
 public:
  StatePickle(const StateSource& state, const Figures& figures)
      : state_(state), figures_(figures) {}

  std::string Write();
  const std::vector<StoredTensor>& storages() const { return storages_; }

 private:
  void Network(const char* key, const char* prefix, const std::vector<NamedShape>& tensors);
  void Tensor(const std::string& name, const std::vector<int64_t>& shape);
  void Optimizer();
  void Group(int group, const std::vector<OptimizerSlot>& slots);
  void Scaler();

  const StateSource& state_;
  const Figures& figures_;
  PickleWriter out_;
  std::vector<StoredTensor> storages_;
};

void StatePickle::Tensor(const std::string& name, const std::vector<int64_t>& shape) {
  out_.FloatTensor(absl::StrCat(storages_.size()), shape);
  storages_.push_back({name, CountOf(shape)});
}

void StatePickle::Network(const char* key, const char* prefix,
                          const std::vector<NamedShape>& tensors) {
  out_.Text(key);
  out_.BeginOrderedDict();
  for (const NamedShape& tensor : tensors) {
    out_.Text(absl::StrCat("module.", tensor.name));
    Tensor(prefix + tensor.name, tensor.shape);
  }
  out_.EndDict();
}

// Keys and values as torch 2.11's AdamW has them; the published program replaces lr and weight
// decay before its next step.
void StatePickle::Group(int group, const std::vector<OptimizerSlot>& slots) {
  const bool decayed = group < 2;
  out_.BeginDict();
  if (!decayed) {
    out_.Text("WD_exclude");
    out_.Bool(true);
  }
  out_.Text("weight_decay");
  if (decayed) {
    out_.Float(figures_.group_decay);
  } else {
    out_.Int(0);
  }
  out_.Text("lr");
  out_.Float(figures_.group_lr);
  out_.Text("betas");
  out_.Floats(figures_.beta1, figures_.beta2);
  out_.Text("eps");
  out_.Float(kAdamEps);
  for (const char* off : {"amsgrad", "maximize", "capturable", "differentiable"}) {
    out_.Text(off);
    out_.Bool(false);
  }
  for (const char* absent : {"foreach", "fused"}) {
    out_.Text(absent);
    out_.None();
  }
  out_.Text("decoupled_weight_decay");
  out_.Bool(true);
  out_.Text("params");
  out_.BeginList();
  for (size_t i = 0; i < slots.size(); ++i) {
    if (slots[i].group == group) out_.Int(static_cast<int64_t>(i));
  }
  out_.EndList();
  out_.EndDict();
}

void StatePickle::Optimizer() {
  const std::vector<OptimizerSlot> slots = OptimizerSlots(state_.info().model);
  out_.Text("opt");
  out_.BeginDict();
  out_.Text("state");
  out_.BeginDict();
  for (size_t i = 0; i < slots.size(); ++i) {
    if (!slots[i].has_state) continue;
    out_.Int(static_cast<int64_t>(i));
    out_.BeginDict();
    out_.Text("step");
    Tensor("", {});
    out_.Text("exp_avg");
    Tensor(kMomentPrefix + slots[i].name, slots[i].shape);
    out_.Text("exp_avg_sq");
    Tensor(kSquarePrefix + slots[i].name, slots[i].shape);
    out_.EndDict();
  }
  out_.EndDict();
  out_.Text("param_groups");
  out_.BeginList();
  for (int group = 0; group < 4; ++group) Group(group, slots);
  out_.EndList();
  out_.EndDict();
}

// "null" keeps an absent scaler of an import absent.
void StatePickle::Scaler() {
  const auto found = state_.info().values.find(kScalerKey);
  const std::string text =
      found == state_.info().values.end() ? std::string(kFreshScaler) : found->second;
  const nlohmann::json scaler = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  out_.Text("scaler");
  if (!scaler.is_object()) return out_.None();
  out_.BeginDict();
  for (const auto& [key, value] : scaler.items()) {
    out_.Text(key);
    if (value.is_number_integer()) {
      out_.Int(value.get<int64_t>());
    } else {
      out_.Float(value.is_number() ? value.get<double>() : 0);
    }
  }
  out_.EndDict();
}

std::string StatePickle::Write() {
  const ModelConfig& model = state_.info().model;
  out_.BeginDict();
  Network("encoder", kEncoderPrefix, EncoderTensors(model));
  Network("predictor", kPredictorPrefix, PredictorTensors(model));
  Network("target_encoder", kTargetPrefix, EncoderTensors(model));
  Optimizer();
  Scaler();
  out_.Text("epoch");
  out_.Int(figures_.epoch);
  out_.Text("loss");
  out_.Float(figures_.loss);
  out_.Text("batch_size");
  out_.Int(figures_.batch_size);
  out_.Text("world_size");
  out_.Int(figures_.world_size);
  out_.Text("lr");
  out_.Float(figures_.peak_lr);
  out_.EndDict();
  return out_.Finish();
}

absl::Status WriteStorages(const StateSource& state, const std::vector<StoredTensor>& storages,
                           ZipWriter& archive) {
  std::vector<float> values;
  for (size_t i = 0; i < storages.size(); ++i) {
    values.assign(static_cast<size_t>(storages[i].count),
                  static_cast<float>(*state.info().optimizer_step));
    if (!storages[i].name.empty()) {
      IJEPA_RETURN_IF_ERROR(state.Read(storages[i].name, values.data()));
    }
    const size_t bytes = values.size() * sizeof(float);
    IJEPA_RETURN_IF_ERROR(archive.Begin(absl::StrCat(kFolder, "data/", i), bytes));
    IJEPA_RETURN_IF_ERROR(archive.Append(values.data(), bytes));
    IJEPA_RETURN_IF_ERROR(archive.End());
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status WriteTorchState(const std::string& path, const StateSource& state) {
  if (state.info().model.pred_depth == 0) return Missing(state, "predictor");
  if (!state.info().optimizer_step.has_value()) return Missing(state, "optimizer state");
  IJEPA_ASSIGN_OR_RETURN(const Figures figures, ReadFigures(state));
  StatePickle pickle(state, figures);
  const std::string bytes = pickle.Write();
  IJEPA_ASSIGN_OR_RETURN(ZipWriter archive, ZipWriter::Create(path));
  IJEPA_RETURN_IF_ERROR(archive.Add(absl::StrCat(kFolder, "data.pkl"), bytes));
  IJEPA_RETURN_IF_ERROR(archive.Add(absl::StrCat(kFolder, "byteorder"), "little"));
  IJEPA_RETURN_IF_ERROR(WriteStorages(state, pickle.storages(), archive));
  IJEPA_RETURN_IF_ERROR(archive.Add(absl::StrCat(kFolder, "version"), kVersion));
  return archive.Finish();
}

}  // namespace jepa
