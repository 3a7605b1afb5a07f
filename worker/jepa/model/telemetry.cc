// See telemetry.h.
#include "worker/jepa/model/telemetry.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>

#include "common/status_macros.h"
#include "worker/jepa/model/optimizer.h"
#include "worker/jepa/plan/flat_ranges.h"

namespace jepa {
namespace {

// Order of ShardFigures::scalars.
enum Figure { kStdMean, kStdMin, kOverPatches, kOverBatch, kCosine, kOffDiagonal, kFigures };

// Block number of "PREFIX.NUMBER....", or -1.
int BlockOf(const std::string& name, const std::string& prefix) {
  if (name.compare(0, prefix.size(), prefix) != 0) return -1;
  return std::atoi(name.c_str() + prefix.size());
}

// At most kRankRows rows of rows_RD. The stride shares no factor with the patches of a block, so
// that every place within the blocks is met.
at::Tensor SampleRows(const at::Tensor& rows_RD, int64_t block_patches) {
  int64_t stride = (rows_RD.size(0) + kRankRows - 1) / kRankRows;
  while (stride > 1 && std::gcd(stride, block_patches) != 1) ++stride;
  return rows_RD.slice(0, 0, c10::nullopt, stride);
}

// The smaller of x x^T and x^T x: both have the squares of the singular values of x.
at::Tensor SmallerGram(const at::Tensor& x) {
  return x.size(0) < x.size(1) ? x.mm(x.t()) : x.t().mm(x);
}

// Root mean square of the covariances of two different columns. The sum of all squared
// covariances is the squared norm of the centred rows' Gram matrix, whichever of both it is.
at::Tensor OffDiagonal(const at::Tensor& rows) {
  const at::Tensor centred = rows - rows.mean(0, /*keepdim=*/true);
  const auto count = static_cast<double>(rows.size(0));
  const auto width = static_cast<double>(rows.size(1));
  const at::Tensor all = SmallerGram(centred).square().sum().div(count * count);
  const at::Tensor diagonal = centred.square().mean(0).square().sum();
  return (all - diagonal).clamp_min(0).div(std::max(1.0, width * (width - 1))).sqrt();
}

// On the host. 0 for features that are all zero.
double EffectiveRankOf(const at::Tensor& gram) {
  const at::Tensor singular = at::linalg_eigvalsh(gram).clamp_min(0).sqrt();
  const at::Tensor total = singular.sum();
  if (total.item<double>() <= 0) return 0;
  const at::Tensor share = singular / total;
  return std::exp(-at::special_xlogy(share, share).sum().item<double>());
}

double NormOf(const at::Tensor& norms) { return norms.norm().item<double>(); }

}  // namespace

TelemetryMeter::TelemetryMeter(const FlatStorage& storage, const TrainConfig& config)
    : storage_(storage),
      encoder_blocks_(config.model.depth),
      predictor_blocks_(config.model.pred_depth),
      beta1_(config.optimization.beta1),
      beta2_(config.optimization.beta2) {
  PlaceSlices();
}

// Parameters of one group that lie one after the other become one slice; the gaps between them
// hold zeros.
void TelemetryMeter::PlaceSlices() {
  const auto blocks = static_cast<size_t>(encoder_blocks_ + predictor_blocks_);
  std::vector<const FlatParameter*> order;
  for (const FlatParameter& parameter : storage_.parameters()) order.push_back(&parameter);
  std::sort(order.begin(), order.end(),
            [](const FlatParameter* a, const FlatParameter* b) { return a->offset < b->offset; });
  for (const FlatParameter* parameter : order) {
    const std::string& name = parameter->info.name;
    const int block = BlockOf(name, parameter->encoder ? "blocks." : "predictor_blocks.");
    size_t group = blocks + 1;  // The rest.
    if (block >= 0)
      group = static_cast<size_t>(parameter->encoder ? block : encoder_blocks_ + block);
    if (name.compare(0, 12, "patch_embed.") == 0) group = blocks;
    const int64_t end = parameter->offset + parameter->info.count();
    const bool encoder = parameter->encoder;
    if (!slices_.empty() && slices_.back().group == group &&
        (slices_.back().target_offset >= 0) == encoder) {
      slices_.back().count = end - slices_.back().offset;
      continue;
    }
    slices_.push_back({parameter->offset, parameter->info.count(),
                       encoder ? parameter->target_offset : -1, group});
  }
}

void TelemetryMeter::Start() {
  Stop();
  active_ = true;
}

void TelemetryMeter::Stop() {
  active_ = false;
  shards_.clear();
  gradient_norms_ = weight_norms_ = update_norms_ = distance_norms_ = at::Tensor();
}

void TelemetryMeter::TakeShard(const StepFeatures& features, const PredictorShape& shape) {
  if (!active_) return;
  const c10::NoGradGuard no_grad;
  const int64_t width = features.targets.size(1);
  const at::Tensor targets = features.targets.to(at::kFloat);
  // Target rows repeat for every context block; the first suffices. P target blocks.
  const at::Tensor blocks_PBKD = targets
                                     .view({shape.target_blocks, shape.context_blocks, shape.images,
                                            shape.target_patches, width})
                                     .select(1, 0);
  const at::Tensor rows_RD = blocks_PBKD.reshape({-1, width});
  const at::Tensor images_BD = blocks_PBKD.mean(at::IntArrayRef{0, 2});
  const at::Tensor variance_D = rows_RD.var(at::IntArrayRef{0}, /*unbiased=*/false);
  const at::Tensor std_D = variance_D.sqrt();
  const at::Tensor over_batch = images_BD.var(at::IntArrayRef{0}, /*unbiased=*/false).mean();
  const at::Tensor cosine =
      at::cosine_similarity(features.predictions.detach().to(at::kFloat), targets, 1).mean();
  const at::Tensor sample = SampleRows(rows_RD, shape.target_patches).to(at::kDouble);
  max_rank_ = static_cast<int>(std::min(sample.size(0), width));
  const at::Tensor scalars =
      at::stack({std_D.mean(), std_D.min(), (variance_D.mean() - over_batch).clamp_min(0),
                 over_batch, cosine})
          .to(at::kDouble);
  shards_.push_back({at::cat({scalars, OffDiagonal(sample).view({1})}), SmallerGram(sample),
                     SmallerGram(images_BD.to(at::kDouble))});
}

at::Tensor TelemetryMeter::Norms(const at::Tensor& flat) const {
  std::vector<at::Tensor> parts;
  for (const Slice& slice : slices_) parts.push_back(flat.narrow(0, slice.offset, slice.count));
  return at::stack(at::_foreach_norm(parts, 2));
}

// Norm of what is owned of a slice. `norm_of(range, moments)` is the norm of a range of the flat
// buffers, whose moments lie at `moments`.
template <typename NormOfRange>
static at::Tensor OwnedNorm(const FlatStorage& storage, FlatRange slice, NormOfRange norm_of) {
  std::vector<at::Tensor> norms;
  for (const OwnedRange& owned : storage.owned()) {
    const FlatRange range = Overlap(slice, owned.range);
    if (range.size() <= 0) continue;
    norms.push_back(norm_of(range, owned.offset + range.begin - owned.range.begin));
  }
  if (norms.empty()) return at::zeros({}, storage.params.options());
  return norms.size() == 1 ? norms[0] : at::stack(norms).norm();
}

at::Tensor TelemetryMeter::OwnedGradientNorms() const {
  if (storage_.owns_all()) return Norms(storage_.grad);
  std::vector<at::Tensor> norms;
  for (const Slice& slice : slices_) {
    const auto norm_of = [&](FlatRange range, int64_t) {
      return storage_.grad.narrow(0, range.begin, range.size()).norm();
    };
    norms.push_back(OwnedNorm(storage_, {slice.offset, slice.offset + slice.count}, norm_of));
  }
  return at::stack(norms);
}

// Slice by slice: a whole buffer more would not fit beside a large model.
at::Tensor TelemetryMeter::OwnedUpdateNorms(double scale, double root) const {
  std::vector<at::Tensor> norms;
  for (const Slice& slice : slices_) {
    const auto norm_of = [&](FlatRange range, int64_t moments) {
      const at::Tensor squares = storage_.exp_avg_sq.narrow(0, moments, range.size());
      at::Tensor change = squares.sqrt().mul_(root).add_(kAdamEps);
      at::div_out(change, storage_.exp_avg.narrow(0, moments, range.size()), change);
      return change.norm().mul_(scale);
    };
    norms.push_back(OwnedNorm(storage_, {slice.offset, slice.offset + slice.count}, norm_of));
  }
  return at::stack(norms);
}

// Norms of what ranks own become those of the whole.
static absl::Status JoinNorms(const UpdateSharing& sharing, at::Tensor& norms) {
  const at::Tensor squares = norms.square().to(at::kCPU);
  IJEPA_RETURN_IF_ERROR(sharing.sum(squares.data_ptr<float>(), squares.numel()));
  norms = squares.sqrt();
  return absl::OkStatus();
}

absl::Status TelemetryMeter::TakeUpdate(double lr, int64_t step, const UpdateSharing* sharing) {
  if (!active_) return absl::OkStatus();
  const c10::NoGradGuard no_grad;
  const auto steps = static_cast<double>(step);
  const double scale = lr / (1 - std::pow(beta1_, steps));
  const double root = 1 / std::sqrt(1 - std::pow(beta2_, steps));
  gradient_norms_ = OwnedGradientNorms();
  update_norms_ = OwnedUpdateNorms(scale, root);
  if (sharing != nullptr) {
    IJEPA_RETURN_IF_ERROR(JoinNorms(*sharing, gradient_norms_));
    IJEPA_RETURN_IF_ERROR(JoinNorms(*sharing, update_norms_));
  }
  weight_norms_ = Norms(storage_.params);
  std::vector<at::Tensor> distances;
  for (const Slice& slice : slices_) {
    if (slice.target_offset < 0) continue;
    const at::Tensor target = storage_.target.narrow(0, slice.target_offset, slice.count);
    distances.push_back(
        at::sub(target, storage_.params.narrow(0, slice.offset, slice.count)).norm());
  }
  distance_norms_ = at::stack(distances);
  return absl::OkStatus();
}

Telemetry TelemetryMeter::Read() {
  const c10::NoGradGuard no_grad;
  Telemetry read;
  read.max_effective_rank = max_rank_;
  at::Tensor sum = at::zeros({kFigures}, at::kDouble);
  for (const ShardFigures& shard : shards_) {
    const double share = 1.0 / static_cast<double>(shards_.size());
    sum.add_(shard.scalars.cpu(), share);
    read.effective_rank += share * EffectiveRankOf(shard.gram.cpu());
    read.pooled_effective_rank += share * EffectiveRankOf(shard.pooled_gram.cpu());
  }
  const double* figures = sum.data_ptr<double>();
  read.std_mean = figures[kStdMean];
  read.std_min = figures[kStdMin];
  read.variance_over_patches = figures[kOverPatches];
  read.variance_over_batch = figures[kOverBatch];
  read.prediction_cosine = figures[kCosine];
  read.off_diagonal_covariance = figures[kOffDiagonal];
  if (gradient_norms_.defined()) {
    const at::Tensor norms = gradient_norms_.cpu();
    std::vector<double> squares(static_cast<size_t>(encoder_blocks_ + predictor_blocks_) + 2);
    for (size_t i = 0; i < slices_.size(); ++i) {
      squares[slices_[i].group] += std::pow(static_cast<double>(norms.data_ptr<float>()[i]), 2);
    }
    for (double& square : squares) square = std::sqrt(square);
    const auto middle = squares.begin() + encoder_blocks_;
    read.encoder_block_gradient_norms.assign(squares.begin(), middle);
    read.predictor_block_gradient_norms.assign(middle, middle + predictor_blocks_);
    read.patch_embed_gradient_norm = squares[squares.size() - 2];
    read.other_gradient_norm = squares.back();
  }
  if (update_norms_.defined()) {
    const at::Tensor weights = weight_norms_.cpu();
    read.update_ratio = NormOf(update_norms_.cpu()) / NormOf(weights);
    double encoder = 0;
    for (size_t i = 0; i < slices_.size(); ++i) {
      if (slices_[i].target_offset < 0) continue;
      encoder += std::pow(static_cast<double>(weights.data_ptr<float>()[i]), 2);
    }
    read.target_distance = NormOf(distance_norms_.cpu()) / std::sqrt(encoder);
  }
  Stop();
  return read;
}

}  // namespace jepa
