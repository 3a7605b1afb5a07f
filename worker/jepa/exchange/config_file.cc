// One list of keys for each of the two programs; Hugging Face has them at the top, timm among
// model_args.
#include "worker/jepa/exchange/config_file.h"

#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/jepa/exchange/byte_source.h"

namespace jepa {
namespace {

using Json = nlohmann::json;

constexpr uint64_t kMaxConfigBytes = 1 << 20;
constexpr int64_t kMaxSide = 1 << 20;
constexpr double kNormEps = 1e-6;

struct SizeKey {
  const char* hugging_face;
  const char* timm;
  int ModelConfig::*size;
};
constexpr SizeKey kSizes[] = {{"hidden_size", "embed_dim", &ModelConfig::embed_dim},
                              {"num_hidden_layers", "depth", &ModelConfig::depth},
                              {"intermediate_size", nullptr, &ModelConfig::mlp_hidden},
                              {"num_channels", "in_chans", &ModelConfig::channels}};

class ConfigReader {
 public:
  ConfigReader(const std::string& path, const Json& config, StateInfo& info)
      : path_(path), info_(info), model_(info.model) {
    const auto arguments = config.find("model_args");
    timm_ = arguments != config.end() && arguments->is_object();
    holder_ = timm_ ? &*arguments : &config;
  }

  absl::Status Run() {
    IJEPA_RETURN_IF_ERROR(CheckSizes());
    IJEPA_RETURN_IF_ERROR(CheckRatio());
    IJEPA_RETURN_IF_ERROR(ReadHeads());
    return ReadGrid();
  }

 private:
  // Null if the file does not say it.
  const Json* Find(const char* hugging_face, const char* timm) const {
    const char* key = timm_ ? timm : hugging_face;
    const auto found = key == nullptr ? holder_->end() : holder_->find(key);
    return found == holder_->end() ? nullptr : &*found;
  }
  absl::Status Wrong(absl::string_view key, const Json& value, absl::string_view rule) const {
    return absl::InvalidArgumentError(absl::StrCat(
        path_, ": ", key, " is ",
        value.dump(-1, ' ', true, Json::error_handler_t::replace).substr(0, 64), "; ", rule));
  }
  // One number for both sides, or [height, width].
  static std::optional<Size> Sides(const Json& value) {
    const auto side = [](const Json& number) {
      return number.is_number_unsigned() && number.get<uint64_t>() >= 1 &&
             number.get<uint64_t>() <= kMaxSide;
    };
    if (side(value)) return Size{value.get<int>(), value.get<int>()};
    if (!value.is_array() || value.size() != 2 || !side(value[0]) || !side(value[1])) {
      return std::nullopt;
    }
    return Size{value[0].get<int>(), value[1].get<int>()};
  }

  absl::Status CheckSizes() const;
  absl::Status CheckRatio() const;
  absl::Status ReadHeads();
  absl::Status ReadGrid();

  const std::string& path_;
  StateInfo& info_;
  ModelConfig& model_;
  const Json* holder_ = nullptr;
  bool timm_ = false;
};

absl::Status ConfigReader::CheckSizes() const {
  for (const SizeKey& key : kSizes) {
    const Json* value = Find(key.hugging_face, key.timm);
    const int size = model_.*key.size;
    if (value == nullptr || (value->is_number_integer() && *value == size)) continue;
    return Wrong(timm_ ? key.timm : key.hugging_face, *value,
                 absl::StrCat("the tensors have ", size));
  }
  const Json* patch = Find("patch_size", "patch_size");
  if (patch == nullptr) return absl::OkStatus();
  const std::optional<Size> sides = Sides(*patch);
  if (sides.has_value() && sides->height == model_.patch_size &&
      sides->width == model_.patch_size) {
    return absl::OkStatus();
  }
  return Wrong("patch_size", *patch, absl::StrCat("the tensors have ", model_.patch_size));
}

// timm multiplies and cuts off.
absl::Status ConfigReader::CheckRatio() const {
  const Json* ratio = Find(nullptr, "mlp_ratio");
  if (!timm_ || ratio == nullptr) return absl::OkStatus();
  const double width = ratio->is_number() ? model_.embed_dim * ratio->get<double>() : 0;
  if (width >= model_.mlp_hidden && width < model_.mlp_hidden + 1.0) return absl::OkStatus();
  return Wrong(
      "mlp_ratio", *ratio,
      absl::StrCat("the tensors have ", model_.mlp_hidden, " for a width of ", model_.embed_dim));
}

absl::Status ConfigReader::ReadHeads() {
  const Json* heads = Find("num_attention_heads", "num_heads");
  if (heads == nullptr) return absl::OkStatus();
  const auto width = static_cast<uint64_t>(model_.embed_dim);
  if (!heads->is_number_unsigned() || heads->get<uint64_t>() == 0 ||
      heads->get<uint64_t>() > width || width % heads->get<uint64_t>() != 0) {
    return Wrong(timm_ ? "num_heads" : "num_attention_heads", *heads,
                 absl::StrCat("the number of heads must divide the width, which is ", width));
  }
  model_.num_heads = heads->get<int>();
  return absl::OkStatus();
}

// Patches that do not fit in whole are cut off, as both programs do.
absl::Status ConfigReader::ReadGrid() {
  const Json* image = Find("image_size", "img_size");
  if (image == nullptr) return absl::OkStatus();
  const std::optional<Size> pixels = Sides(*image);
  const int64_t patches = int64_t{model_.grid_height} * model_.grid_width;
  const int height = pixels.has_value() ? pixels->height / model_.patch_size : 0;
  const int width = pixels.has_value() ? pixels->width / model_.patch_size : 0;
  if (int64_t{height} * width != patches) {
    return Wrong(timm_ ? "img_size" : "image_size", *image,
                 absl::StrCat("the position table has ", patches, " patches of ", model_.patch_size,
                              " x ", model_.patch_size, " pixels"));
  }
  model_.grid_height = height;
  model_.grid_width = width;
  info_.grid_known = true;
  return absl::OkStatus();
}

}  // namespace

absl::Status ReadConfigFile(const std::string& path, StateInfo& info) {
  IJEPA_ASSIGN_OR_RETURN(const std::unique_ptr<ByteSource> bytes, OpenBytes(path));
  if (bytes->size() > kMaxConfigBytes) {
    return absl::DataLossError(
        absl::StrCat(path, " has ", bytes->size(), " bytes; at most ", kMaxConfigBytes));
  }
  std::string text(bytes->size(), '\0');
  IJEPA_RETURN_IF_ERROR(bytes->ReadAt(0, text.data(), text.size()));
  const Json config = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!config.is_object()) return absl::DataLossError(absl::StrCat(path, " is not a JSON object"));
  IJEPA_RETURN_IF_ERROR(ConfigReader(path, config, info).Run());
  const auto eps = config.find("layer_norm_eps");
  if (eps != config.end() && (!eps->is_number() || eps->get<double>() != kNormEps)) {
    info.notes.push_back(absl::StrCat(path, ": layer_norm_eps is ", eps->dump().substr(0, 32),
                                      "; I-JEPA's is 1e-6, and that is used"));
  }
  return absl::OkStatus();
}

}  // namespace jepa
