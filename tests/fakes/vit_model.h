// The models that benches and tests name.
#ifndef IJEPA_TESTS_FAKES_VIT_MODEL_H_
#define IJEPA_TESTS_FAKES_VIT_MODEL_H_

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/status_macros.h"
#include "worker/jepa/config.h"
#include "worker/jepa/plan/arithmetic.h"

namespace jepa {

// vit_tiny ... vit_giant on square crops, with the published width of the predictor.
// InvalidArgument for another name, or a crop that is no multiple of the patch.
inline absl::StatusOr<ModelConfig> VitModel(absl::string_view encoder, int patch, int crop,
                                            int pred_depth) {
  IJEPA_ASSIGN_OR_RETURN(const EncoderShape shape, EncoderByName(encoder));
  if (patch < 1 || crop % patch != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("crop ", crop, " is no multiple of patch ", patch));
  }
  ModelConfig model;
  model.grid_height = model.grid_width = crop / patch;
  model.patch_size = patch;
  model.embed_dim = shape.embed_dim;
  model.depth = shape.depth;
  model.num_heads = shape.num_heads;
  model.mlp_hidden = shape.mlp_hidden;
  model.pred_depth = pred_depth;
  model.pred_embed_dim = 384;
  model.pred_mlp_hidden = 4 * 384;
  return model;
}

}  // namespace jepa

#endif  // IJEPA_TESTS_FAKES_VIT_MODEL_H_
