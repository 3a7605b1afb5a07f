// Names, shapes and kinds of all parameters of both networks, with the published names.
// ijepa-spec 1.4 and 6; golden set b_init (param_manifest.json).
#ifndef IJEPA_WORKER_JEPA_PLAN_PARAMETER_TABLE_H_
#define IJEPA_WORKER_JEPA_PLAN_PARAMETER_TABLE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "worker/jepa/config.h"

namespace jepa {

struct ParameterInfo {
  std::string name;  // "blocks.0.attn.qkv.weight", without a prefix for the network.
  std::vector<int64_t> shape;

  int64_t count() const;
  // Weight decay applies: more than one dimension. mask_token is decayed, as published.
  bool decays() const { return shape.size() > 1; }
  bool is_bias() const;
  // The gain of a LayerNorm.
  bool is_norm_weight() const { return shape.size() == 1 && !is_bias(); }
};

// Trainable parameters in the order of the published state dicts, which is the order of execution.
// The fixed position tables ("pos_embed", "predictor_pos_embed") are not among them.
std::vector<ParameterInfo> EncoderParameterTable(const ModelConfig& model);
std::vector<ParameterInfo> PredictorParameterTable(const ModelConfig& model);

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_PLAN_PARAMETER_TABLE_H_
