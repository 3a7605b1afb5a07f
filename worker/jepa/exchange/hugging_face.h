// The on-disk layout of transformers' IJepaModel: names of tensors, configuration, preprocessor.
// ijepa-spec 7.1; golden set g_hf_export.
#ifndef IJEPA_WORKER_JEPA_EXCHANGE_HUGGING_FACE_H_
#define IJEPA_WORKER_JEPA_EXCHANGE_HUGGING_FACE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "worker/jepa/config.h"

namespace jepa {

// A tensor of the layout is a run of rows of a published one: the fused qkv is cut in three.
struct HuggingFaceTensor {
  std::string name;       // "encoder.layer.0.attention.attention.key.bias"
  std::string published;  // "blocks.0.attn.qkv.bias"
  std::vector<int64_t> shape;
  int64_t first_row = 0;  // Of the published tensor.
};

// All tensors of an encoder, each row of each published tensor once.
std::vector<HuggingFaceTensor> HuggingFaceTensors(const ModelConfig& model);

// config.json and preprocessor_config.json. Differs from the conversion on the hub: the statistics
// are those that pre-training normalised with (model.scale), not 0.5.
std::string HuggingFaceConfig(const ModelConfig& model);
std::string HuggingFacePreprocessor(const ModelConfig& model);

// config.json that timm's "local-dir:" loads: VisionTransformer without class token, average pool,
// final norm kept, statistics of model.scale. ijepa-spec 7.2.
std::string TimmConfig(const ModelConfig& model);

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_EXCHANGE_HUGGING_FACE_H_
