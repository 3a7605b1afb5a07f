// A training state, or the weights of one, wherever it comes from: a file of torch.save, a
// checkpoint folder, a Hugging Face or timm folder, a safetensors file. All give their tensors
// under the names of checkpoints (published_names.h), whole and checked before anything is read.
#ifndef IJEPA_WORKER_JEPA_EXCHANGE_STATE_SOURCE_H_
#define IJEPA_WORKER_JEPA_EXCHANGE_STATE_SOURCE_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/jepa/config.h"
#include "worker/jepa/exchange/published_names.h"

namespace jepa {

// Keys of the figures that the published file has beside its tensors, as texts. Checkpoints of runs
// and of imports hold them among their values.
inline constexpr char kEpochKey[] = "epoch";           // Finished epochs; only after an import.
inline constexpr char kLossKey[] = "loss";             // Of the last step, or mean of an epoch.
inline constexpr char kBatchSizeKey[] = "batch_size";  // Images per shard and step.
inline constexpr char kWorldSizeKey[] = "world_size";  // Shards.
inline constexpr char kPeakLrKey[] = "lr";             // optimization.lr
inline constexpr char kGroupLrKey[] = "group_lr";      // Of the last step.
inline constexpr char kGroupDecayKey[] = "group_weight_decay";
inline constexpr char kBeta1Key[] = "beta1";
inline constexpr char kBeta2Key[] = "beta2";
inline constexpr char kScalerKey[] = "scaler";  // JSON object of numbers, or null.
inline constexpr char kStepsPerEpochKey[] = "steps_per_epoch";

struct StateInfo {
  std::string path;
  std::string kind;   // "checkpoint folder", "torch.save file", ...
  ModelConfig model;  // num_heads is 0 if nothing says it.
  // Whether the grid of `model` is more than a count of patches; after OpenState it always is.
  bool grid_known = false;
  // Finished steps of the optimizer; absent: weights alone, without moments.
  std::optional<int64_t> optimizer_step;
  // Finished steps of the run, where the source counts steps.
  std::optional<int64_t> step;
  std::map<std::string, std::string> values;  // Keys as above, and whatever a checkpoint holds.
  std::vector<std::string> notes;             // Sentences about what is left out or taken as it is.
};

// Reads are single-threaded.
class StateSource {
 public:
  virtual ~StateSource() = default;
  virtual const StateInfo& info() const = 0;
  // Exactly the tensors of info().model: both encoders, perhaps predictor and moments. float32.
  virtual const TensorShapes& tensors() const = 0;
  // Copies a tensor of tensors() into `out`. Errors name file and tensor.
  virtual absl::Status Read(const std::string& name, float* out) const = 0;
};

// Opens a file or folder, whatever it is of the above. `crop`, in pixels, is what the caller will
// use it for; it settles a grid that nothing else does (settle_grid.h). Errors name the path, the
// thing and the rule: NotFound, InvalidArgument, Unimplemented, FailedPrecondition or DataLoss.
// Read returns DataLoss for a tensor with a value that is NaN or infinite.
absl::StatusOr<std::unique_ptr<StateSource>> OpenState(const std::string& path, Size crop = {});

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_EXCHANGE_STATE_SOURCE_H_
