// The learning state of one rank and the arithmetic of a step: networks, gradients, AdamW, EMA
// target. No data loading, no collectives, no files: the trainer joins those. This header is free
// of LibTorch; what is behind it is not.
//
// Storage is flat: one buffer per kind (parameters, gradients, exp_avg, exp_avg_sq, target),
// parameters in reverse order of execution within [decay | no decay], module weights are views. So
// the optimizer and the EMA are one pass, the gradient is one buffer to all-reduce, and a
// checkpoint is a few sequential writes.
#ifndef IJEPA_WORKER_JEPA_MODEL_LEARNER_H_
#define IJEPA_WORKER_JEPA_MODEL_LEARNER_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/jepa/checkpoint/checkpoint.h"
#include "worker/jepa/config.h"
#include "worker/jepa/data/loader.h"
#include "worker/jepa/eval/probes.h"
#include "worker/jepa/plan/masks.h"
#include "worker/jepa/run_host.h"

namespace jepa {

// A contiguous fp32 buffer on the learner's device; borrowed.
struct FloatBuffer {
  float* data = nullptr;
  int64_t count = 0;
};

// How much a shard counts in the sums of its step.
struct ShardWeights {
  double gradient = 1;
  double loss = 1;
};

// Scalars that ride in the tail of the gradient buffer, so that one all-reduce sums them too.
// kSquares is for ranks that share the update out: see SetSquares.
enum class StepScalar { kLoss = 0, kDrain = 1, kWait = 2, kWritten = 3, kSquares = 4, kSave = 5 };
inline constexpr int kStepScalars = 6;
inline constexpr int kMaxResultsLeft = 1;

// ZeRO-1: whether ranks share the update out. Each then owns its piece of every bucket of the
// gradient (OwnedRanges): the gradient is summed there only, moments are kept of that only.
inline bool SharesUpdate(const TrainConfig& config) {
  return config.optimization.zero1 && config.world_size > 1;
}

// What ranks that share the update out do together. All ranks call alike.
struct UpdateSharing {
  // data[0, count), in host memory, becomes the sum over ranks.
  std::function<absl::Status(float* data, int64_t count)> sum;
  // What each rank owns of a buffer laid out as gradient() becomes everybody's.
  std::function<absl::Status(float* flat)> gather;
};

// Told that gradient()[0, floats) is final, once the device has done what the calling thread has
// given it. Comes while a backward pass runs, with growing numbers, on that pass's thread.
using GradientReady = std::function<void(int64_t floats)>;

struct UpdateRates {
  double lr = 0;
  double weight_decay = 0;
  double ema_momentum = 0;
};

// What a step came to.
struct StepResult {
  std::array<float, kStepScalars> scalars{};  // By StepScalar, as they were when it was updated.
  double gradient_norm = 0;                   // L2.
  bool updated = false;                       // Else loss or norm is not finite.

  double scalar(StepScalar which) const { return scalars[static_cast<size_t>(which)]; }
  bool operator==(const StepResult&) const = default;
};

// What a stretch of a step was spent on; kBegin is what came before it.
enum class StepSpan { kBegin, kIdle, kWork, kPeers };

// Seconds of a step, by the device's clock.
struct StepSeconds {
  double work = 0;
  double peers = 0;  // Waiting for them.
};

// Owned and called by the training thread. Exceptions of LibTorch become Internal, out of memory
// ResourceExhausted.
class Learner {
 public:
  // Builds both networks on the configured device with the initial law of `config.init` and seed;
  // the target is a copy of the encoder. Every rank of a job builds the same bits. InvalidArgument
  // if precision or device is not there.
  static absl::StatusOr<std::unique_ptr<Learner>> Create(const TrainConfig& config);
  virtual ~Learner() = default;

  // Forward and backward of one shard: adds weights.gradient times the gradient of the shard's mean
  // smooth-L1 loss to the gradient buffer, and weights.loss times that loss to kLoss, summed in
  // fp64. batch.pixels: uint8 [B, 3, height, width], free again on return; masks of the same B. On
  // CUDA waits for nothing.
  virtual absl::Status AccumulateShard(const Batch& batch, const MaskBatch& masks,
                                       const ShardWeights& weights) = 0;
  // Has `ready` told what is final while the next AccumulateShard goes back, which is the last of
  // its step. A learner may tell nothing: the whole gradient is final when that has returned.
  virtual void WatchNextShard(GradientReady /*ready*/) {}
  // Once, for a config that SharesUpdate: how ranks do it. Update and CopyState are collective
  // then. Update takes the norm from kSquares, summed over ranks.
  virtual void ShareUpdate(UpdateSharing /*sharing*/) {}
  // kSquares becomes the sum of squares of the owned gradient, in fp32: infinite above 3e38.
  virtual absl::Status SetSquares() { return absl::OkStatus(); }
  // The gradient of all trainable parameters, then kStepScalars scalars.
  virtual FloatBuffer gradient() = 0;
  // kLoss is set by AccumulateShard.
  virtual void SetScalar(StepScalar scalar, float value) = 0;
  // Ends a step: one AdamW step on the gradient buffer and one EMA step of the target, or nothing
  // of both where kLoss or the norm of the gradient is not finite; then clears gradients and
  // scalars. On CUDA the device decides, the same on every rank from the same sums, and this waits
  // for nothing.
  virtual absl::Status Update(const UpdateRates& rates) = 0;
  // What the oldest step came to of those that were updated and not taken: every Update has one.
  // Waits for the device to be done with it.
  virtual absl::StatusOr<StepResult> TakeResult() = 0;
  // How many results are best left untaken after an Update, at most kMaxResultsLeft: 0 where they
  // are known at once, 1 where the host is to give the device the next step meanwhile.
  virtual int results_left() const { return 0; }

  // Returns when the device has done what it was given.
  virtual absl::Status WaitForDevice() { return absl::OkStatus(); }

  // What the device does between the last call and this one, in the order it was given, counts as
  // `span`; kBegin begins the time of a step, Update ends it. Waits for nothing.
  virtual void EndSpan(StepSpan /*span*/) {}
  // Of the step whose result was taken last; none where the host's clock can measure.
  virtual std::optional<StepSeconds> DeviceSeconds() const { return std::nullopt; }

  // Measures the step that begins: call before its first AccumulateShard, when all results are
  // taken. The bits of training stay the same.
  virtual void StartTelemetry() = 0;
  // The measurement, when the result of its step is the newest that was taken and says `updated`:
  // means over the shards of this rank; step and collapse_suspected are left to the caller. Waits
  // for the device.
  virtual absl::StatusOr<Telemetry> ReadTelemetry() = 0;

  // Average-pooled target-encoder output (its final LayerNorm included), row-major [images,
  // embed_dim]. pixels: uint8 [images, 3, height, width] of the crop.
  virtual absl::StatusOr<Features> PooledFeatures(const std::vector<uint8_t>& pixels,
                                                  int images) = 0;

  // Names, types and shapes of all state, without data: "encoder/NAME", "predictor/NAME",
  // "target_encoder/NAME", "exp_avg/encoder/NAME", ..., "optimizer/step", with the published names.
  // The same on every rank.
  virtual std::vector<TensorToSave> StateLayout() const = 0;
  // Copies the tensors `which` (indices into StateLayout) to host memory: out[i] has the bytes of
  // tensor which[i].
  virtual absl::Status CopyState(const std::vector<size_t>& which,
                                 const std::vector<void*>& out) const = 0;
  // Replaces all state, position tables included; checks every tensor first, so a failure changes
  // nothing.
  virtual absl::Status Restore(const TensorReader& state) = 0;
  // One line that two interchangeable checkpoints share: the sizes of both networks.
  virtual std::string ModelLine() const = 0;
};

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_MODEL_LEARNER_H_
