// The tensors of a training state by name: of both networks as in the published state dicts, and of
// the optimizer by number. ijepa-spec 3 and 6; golden set b_init (param_manifest.json).
//
// Names of a whole state, as in checkpoints: "encoder/NAME", "predictor/NAME",
// "target_encoder/NAME", "exp_avg/encoder/NAME", "exp_avg_sq/predictor/NAME".
#ifndef IJEPA_WORKER_JEPA_EXCHANGE_PUBLISHED_NAMES_H_
#define IJEPA_WORKER_JEPA_EXCHANGE_PUBLISHED_NAMES_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/jepa/config.h"

namespace jepa {

inline constexpr char kEncoderPrefix[] = "encoder/";
inline constexpr char kTargetPrefix[] = "target_encoder/";
inline constexpr char kPredictorPrefix[] = "predictor/";
inline constexpr char kMomentPrefix[] = "exp_avg/";
inline constexpr char kSquarePrefix[] = "exp_avg_sq/";
inline constexpr char kEncoderTable[] = "pos_embed";
inline constexpr char kPredictorTable[] = "predictor_pos_embed";

// Name -> shape.
using TensorShapes = std::map<std::string, std::vector<int64_t>>;

struct NamedShape {
  std::string name;
  std::vector<int64_t> shape;
};

int64_t CountOf(const std::vector<int64_t>& shape);
std::string ShapeText(const std::vector<int64_t>& shape);  // "[2, 3]"

// Everything in a network's state dict, in its order, the fixed position table included.
std::vector<NamedShape> EncoderTensors(const ModelConfig& model);
std::vector<NamedShape> PredictorTensors(const ModelConfig& model);

// A parameter of the published optimizer; its number is its place in the list.
struct OptimizerSlot {
  std::string name;  // "encoder/blocks.0.attn.qkv.weight"
  std::vector<int64_t> shape;
  int group = 0;           // [0, 4): encoder and predictor decayed, encoder and predictor not.
  bool has_state = false;  // Position tables have a number but neither gradient nor moments.
};
std::vector<OptimizerSlot> OptimizerSlots(const ModelConfig& model);

// The sizes that the shapes of a state imply; num_heads is 0, for nothing shows it, and the
// predictor's sizes are 0 when there is none. The grid is one row of all patches, until SettleGrid
// (settle_grid.h). Returns InvalidArgument naming the tensor that is missing or of an impossible
// shape.
absl::StatusOr<ModelConfig> InferModel(const TensorShapes& shapes);

// Whether `shapes` are exactly the tensors of `model`: target encoder and encoder; predictor and
// moments each whole or absent. Returns InvalidArgument naming the first tensor that is missing, of
// another shape, or too many.
absl::Status CheckTensors(const ModelConfig& model, const TensorShapes& shapes);

// Heads of the published encoder of this width; 0 if there is none.
int PublishedHeads(int embed_dim);

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_EXCHANGE_PUBLISHED_NAMES_H_
