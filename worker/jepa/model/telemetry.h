// Measures the health of the representation from tensors that a step has anyway; no second forward.
// Everything is computed on the device and stays there until Read, so nothing waits for the device
// before; but for two things, on measured steps alone:
//   effective ranks   Read brings the Gram matrices, of at most kRankRows rows and of the images of
//                     a shard, to the host and takes their eigenvalues there
//   shared updates    TakeUpdate joins the ranks' norms, some numbers per block, on the host, as
//                     UpdateSharing::sum wants them: it waits for the device
// Nothing that training reads is written.
//
// Features are the targets of the loss, t[r, d]: rows r are the patches of all target blocks of a
// shard (a patch in two blocks counts twice), d < D; each row has mean 0 and variance 1 over d
// (ijepa-spec 3). Means over rows are E, population variances V:
//   std_mean, std_min        mean and smallest over d of s_d = sqrt(V_r t[r, d])
//   variance_over_batch      mean over d of V over images of the image's mean row
//   variance_over_patches    mean over d of s_d^2, minus variance_over_batch
//   off_diagonal_covariance  sqrt of the mean over d != d' of cov(d, d')^2, of at most kRankRows
//   rows effective_rank           exp(-sum p ln p), p = singular values of the rows over their sum
//                            (RankMe, arXiv:2210.02885, eq. 2, without its epsilon), same rows
//   pooled_effective_rank    the same of the images' mean rows; at most the images of a shard
//   prediction_cosine        mean over rows of the cosine of prediction and target
// and of the flat buffers, |.| the L2 norm:
//   gradient norms           |g| of each block, of the patch embedding, of the rest
//   target_distance          |target - encoder| / |encoder|
//   update_ratio             |lr * mhat / (sqrt(vhat) + eps)| / |w|, w of both networks
// Features are measured per shard and averaged, so the figures do not depend on the number of
// ranks.
#ifndef IJEPA_WORKER_JEPA_MODEL_TELEMETRY_H_
#define IJEPA_WORKER_JEPA_MODEL_TELEMETRY_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "worker/jepa/config.h"
#include "worker/jepa/model/flat_storage.h"
#include "worker/jepa/model/learner.h"
#include "worker/jepa/model/networks.h"
#include "worker/jepa/run_host.h"

namespace jepa {

// Rows that the effective rank is computed from, evenly taken. Bounds its cost, and for wider
// models its value; raising it costs cubically up to the width.
inline constexpr int64_t kRankRows = 256;

// Borrows the storage. Owned and used by the training thread. Throws c10::Error.
class TelemetryMeter {
 public:
  TelemetryMeter(const FlatStorage& storage, const TrainConfig& config);

  // From here to Read or Stop the Take functions measure; else they do nothing.
  void Start();
  void Stop();
  bool active() const { return active_; }

  // After the forward pass of a shard.
  void TakeShard(const StepFeatures& features, const PredictorShape& shape);
  // After the optimizer step, before the gradient is cleared; `step` is the optimizer's count.
  // `sharing`: null, or how ranks that share the update out join what each has of it: through the
  // host, so this waits for the device then.
  absl::Status TakeUpdate(double lr, int64_t step, const UpdateSharing* sharing);

  // Waits for the device, then stops. Figures of features are means over the shards taken.
  Telemetry Read();

 private:
  // A part of the flat buffers that belongs to one figure.
  struct Slice {
    int64_t offset = 0;
    int64_t count = 0;
    int64_t target_offset = -1;  // In target; -1 for the predictor.
    size_t group = 0;            // Of gradient norms.
  };
  // Of one shard, on the device, fp64.
  struct ShardFigures {
    at::Tensor scalars;
    at::Tensor gram;  // Of patch rows and of images, the smaller of both products each.
    at::Tensor pooled_gram;
  };

  void PlaceSlices();
  at::Tensor Norms(const at::Tensor& flat) const;
  // Norms of what this rank owns of each slice of the gradient and of the last update.
  at::Tensor OwnedGradientNorms() const;
  at::Tensor OwnedUpdateNorms(double scale, double root) const;

  const FlatStorage& storage_;
  const int encoder_blocks_;
  const int predictor_blocks_;
  const double beta1_;
  const double beta2_;
  std::vector<Slice> slices_;  // Rising offsets.
  bool active_ = false;
  int max_rank_ = 0;
  std::vector<ShardFigures> shards_;
  // L2 norms per slice, fp32, on the device.
  at::Tensor gradient_norms_;
  at::Tensor weight_norms_;
  at::Tensor update_norms_;
  at::Tensor distance_norms_;  // Of the encoder's slices, in order.
};

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_MODEL_TELEMETRY_H_
