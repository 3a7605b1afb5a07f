// Tables of names, and two small JSON files.
#include "worker/jepa/exchange/hugging_face.h"

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "worker/jepa/exchange/published_names.h"

namespace jepa {
namespace {

using Json = nlohmann::ordered_json;

struct Renaming {
  const char* published;
  const char* hugging_face;
};
constexpr Renaming kBlockNames[] = {{"norm1", "layernorm_before"},
                                    {"norm2", "layernorm_after"},
                                    {"attn.proj", "attention.output.dense"},
                                    {"mlp.fc1", "intermediate.dense"},
                                    {"mlp.fc2", "output.dense"}};
constexpr const char* kAttentionParts[] = {"query", "key", "value"};

int ImageSide(const ModelConfig& model) { return model.grid_height * model.patch_size; }

// Both sides of a rectangle, or one number for a square.
Json ImageSize(const ModelConfig& model) {
  if (model.grid_height == model.grid_width) return ImageSide(model);
  return {ImageSide(model), model.grid_width * model.patch_size};
}

// "blocks.3.attn.qkv.bias" -> the layout's tensors.
void AddBlockTensor(const NamedShape& tensor, std::vector<HuggingFaceTensor>& list) {
  const size_t number_end = tensor.name.find('.', 7);
  const std::string layer = absl::StrCat("encoder.layer.", tensor.name.substr(7, number_end - 7));
  const size_t kind_at = tensor.name.rfind('.');
  const std::string inner = tensor.name.substr(number_end + 1, kind_at - number_end - 1);
  const std::string kind = tensor.name.substr(kind_at);
  if (inner == "attn.qkv") {
    std::vector<int64_t> shape = tensor.shape;
    shape[0] /= 3;
    for (int64_t part = 0; part < 3; ++part) {
      list.push_back({absl::StrCat(layer, ".attention.attention.", kAttentionParts[part], kind),
                      tensor.name, shape, part * shape[0]});
    }
    return;
  }
  for (const Renaming& renaming : kBlockNames) {
    if (inner != renaming.published) continue;
    list.push_back(
        {absl::StrCat(layer, ".", renaming.hugging_face, kind), tensor.name, tensor.shape, 0});
  }
}

}  // namespace

std::vector<HuggingFaceTensor> HuggingFaceTensors(const ModelConfig& model) {
  std::vector<HuggingFaceTensor> list;
  for (const NamedShape& tensor : EncoderTensors(model)) {
    if (absl::StartsWith(tensor.name, "blocks.")) {
      AddBlockTensor(tensor, list);
      continue;
    }
    std::string name = "embeddings.position_embeddings";
    if (absl::StartsWith(tensor.name, "patch_embed.proj")) {
      name = absl::StrCat("embeddings.patch_embeddings.projection", tensor.name.substr(16));
    } else if (absl::StartsWith(tensor.name, "norm")) {
      name = absl::StrCat("layernorm", tensor.name.substr(4));
    }
    list.push_back({std::move(name), tensor.name, tensor.shape, 0});
  }
  return list;
}

std::string HuggingFaceConfig(const ModelConfig& model) {
  const Json config = {{"architectures", {"IJepaModel"}},
                       {"model_type", "ijepa"},
                       {"attention_probs_dropout_prob", 0.0},
                       {"hidden_act", "gelu"},
                       {"hidden_dropout_prob", 0.0},
                       {"hidden_size", model.embed_dim},
                       {"image_size", ImageSize(model)},
                       {"initializer_range", 0.02},
                       {"intermediate_size", model.mlp_hidden},
                       {"layer_norm_eps", 1e-6},
                       {"num_attention_heads", model.num_heads},
                       {"num_channels", model.channels},
                       {"num_hidden_layers", model.depth},
                       {"patch_size", model.patch_size},
                       {"pooler_act", "tanh"},
                       {"pooler_output_size", model.embed_dim},
                       {"qkv_bias", true},
                       {"torch_dtype", "float32"}};
  return config.dump(2) + "\n";
}

std::string HuggingFacePreprocessor(const ModelConfig& model) {
  const Json config = {
      {"do_normalize", true},
      {"do_rescale", true},
      {"do_resize", true},
      {"image_mean", model.scale.mean},
      {"image_std", model.scale.std},
      {"image_processor_type", "ViTImageProcessor"},
      {"resample", 2},
      {"rescale_factor", 1.0 / (model.scale.bit_depth == 16 ? 65535 : 255)},
      {"size", {{"height", ImageSide(model)}, {"width", model.grid_width * model.patch_size}}}};
  return config.dump(2) + "\n";
}

std::string TimmConfig(const ModelConfig& model) {
  // timm multiplies and cuts off, so the ratio is the smallest that gives the width.
  double ratio = static_cast<double>(model.mlp_hidden) / model.embed_dim;
  while (static_cast<int>(model.embed_dim * ratio) < model.mlp_hidden) {
    ratio = std::nextafter(ratio, std::numeric_limits<double>::infinity());
  }
  const int width = model.grid_width * model.patch_size;
  const Json config = {{"architecture", "vit_base_patch16_224"},
                       {"num_classes", 0},
                       {"num_features", model.embed_dim},
                       {"global_pool", "avg"},
                       {"model_args",
                        {{"img_size", ImageSize(model)},
                         {"patch_size", model.patch_size},
                         {"in_chans", model.channels},
                         {"embed_dim", model.embed_dim},
                         {"depth", model.depth},
                         {"num_heads", model.num_heads},
                         {"mlp_ratio", ratio},
                         {"class_token", false},
                         {"global_pool", "avg"},
                         {"fc_norm", false}}},
                       {"pretrained_cfg",
                        {{"input_size", {model.channels, ImageSide(model), width}},
                         {"fixed_input_size", true},
                         {"interpolation", "bilinear"},
                         {"crop_pct", 1.0},
                         {"mean", model.scale.mean},
                         {"std", model.scale.std},
                         {"num_classes", 0},
                         {"first_conv", "patch_embed.proj"},
                         {"classifier", "head"}}}};
  return config.dump(2) + "\n";
}

}  // namespace jepa
