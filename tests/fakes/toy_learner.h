// A learner of a few numbers that behaves like the real one: its bits depend on pixels, masks,
// rates and history, its loss goes down, its state is saved and restored. No LibTorch.
#ifndef IJEPA_TESTS_FAKES_TOY_LEARNER_H_
#define IJEPA_TESTS_FAKES_TOY_LEARNER_H_

#include <algorithm>
#include <cmath>
#include <cstring>
#include <deque>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/status_macros.h"
#include "worker/jepa/model/learner.h"

namespace jepa {

// What goes wrong, and when; steps count from 0.
struct ToyFaults {
  int64_t nan_loss_at = -1;
  int64_t nan_gradient_at = -1;
  // Results are left untaken for a step, as where a device works on its own.
  bool late_results = false;
  // The checkpoint of this step cannot be restored.
  int64_t unusable_step = -1;
  // What a measurement reads.
  Telemetry telemetry;
  // One more tensor in every checkpoint: floats of one dimension.
  std::optional<TensorToSave> extra_tensor;
};

// Predicts 1 from the mean brightness of `width` stripes of an image by a linear map with momentum.
// `width` is config.model.embed_dim.
class ToyLearner : public Learner {
 public:
  ToyLearner(const TrainConfig& config, ToyFaults faults)
      : width_(static_cast<size_t>(config.model.embed_dim)),
        faults_(faults),
        weights_(width_, 0.01f * static_cast<float>(config.seed + 1)),
        moments_(width_, 0.0f),
        target_(weights_),
        gradient_(width_ + kStepScalars, 0.0f) {}

  absl::Status AccumulateShard(const Batch& batch, const MaskBatch& masks,
                               const ShardWeights& weights) override {
    double loss = 0;
    // Masks enter as a weight near 1, so that other masks give other bits.
    double mask_sum = 0;
    for (const auto& block : masks.context) {
      for (const int64_t patch : block) mask_sum += static_cast<double>(patch);
    }
    const double mask_weight = 1.0 + 1e-6 * mask_sum;
    for (int image = 0; image < batch.images; ++image) {
      const std::vector<float> stripes = Stripes(batch.pixels, batch.images, image);
      double error = -1;
      for (size_t i = 0; i < width_; ++i) error += weights_[i] * stripes[i];
      loss += mask_weight * error * error / batch.images;
      for (size_t i = 0; i < width_; ++i) {
        gradient_[i] += static_cast<float>(2 * weights.gradient * mask_weight * error * stripes[i] /
                                           batch.images);
      }
    }
    if (batch.step == faults_.nan_gradient_at) {
      gradient_[0] = std::numeric_limits<float>::quiet_NaN();
    }
    if (batch.step == faults_.nan_loss_at) loss = std::numeric_limits<double>::quiet_NaN();
    loss_ += weights.loss * loss;
    SetScalar(StepScalar::kLoss, static_cast<float>(loss_));
    return absl::OkStatus();
  }

  FloatBuffer gradient() override {
    return {gradient_.data(), static_cast<int64_t>(gradient_.size())};
  }
  void SetScalar(StepScalar scalar, float value) override {
    gradient_[width_ + static_cast<size_t>(scalar)] = value;
  }

  absl::Status Update(const UpdateRates& rates) override {
    StepResult result;
    std::copy(gradient_.end() - kStepScalars, gradient_.end(), result.scalars.begin());
    double square = 0;
    for (size_t i = 0; i < width_; ++i) square += gradient_[i] * gradient_[i];
    result.gradient_norm = std::sqrt(square);
    result.updated = std::isfinite(square) && std::isfinite(result.scalar(StepScalar::kLoss));
    if (result.updated) Apply(rates);
    results_.push_back(result);
    gradient_.assign(gradient_.size(), 0.0f);
    loss_ = 0;
    return absl::OkStatus();
  }
  absl::StatusOr<StepResult> TakeResult() override {
    if (results_.empty()) return absl::FailedPreconditionError("no result is left");
    const StepResult result = results_.front();
    results_.pop_front();
    return result;
  }
  int results_left() const override { return faults_.late_results ? kMaxResultsLeft : 0; }

  // AdamW and EMA, much simplified.
  void Apply(const UpdateRates& rates) {
    const auto lr = static_cast<float>(rates.lr);
    const auto momentum = static_cast<float>(rates.ema_momentum);
    for (size_t i = 0; i < width_; ++i) {
      moments_[i] = 0.5f * moments_[i] + gradient_[i];
      weights_[i] -= lr * moments_[i];
      target_[i] = momentum * target_[i] + (1 - momentum) * weights_[i];
    }
  }

  void StartTelemetry() override { measured_ = faults_.telemetry; }
  absl::StatusOr<Telemetry> ReadTelemetry() override { return measured_; }

  absl::StatusOr<Features> PooledFeatures(const std::vector<uint8_t>& pixels, int images) override {
    Features features{images, static_cast<int>(width_), {}};
    for (int image = 0; image < images; ++image) {
      const std::vector<float> stripes = Stripes(pixels, images, image);
      for (size_t i = 0; i < width_; ++i) {
        features.values.push_back(stripes[i] * (1 + target_[i]));
      }
    }
    return features;
  }

  std::vector<TensorToSave> StateLayout() const override {
    const std::vector<int64_t> shape = {static_cast<int64_t>(width_)};
    std::vector<TensorToSave> tensors = {{"encoder/w", TensorType::kFloat32, shape},
                                         {"target_encoder/w", TensorType::kFloat32, shape},
                                         {"exp_avg/encoder/w", TensorType::kFloat32, shape}};
    if (faults_.extra_tensor.has_value()) {
      tensors.push_back(*faults_.extra_tensor);
      tensors.back().data = nullptr;
    }
    return tensors;
  }

  absl::Status CopyState(const std::vector<size_t>& which,
                         const std::vector<void*>& out) const override {
    const std::vector<const void*> sources = {
        weights_.data(), target_.data(), moments_.data(),
        faults_.extra_tensor.has_value() ? faults_.extra_tensor->data : nullptr};
    for (size_t i = 0; i < which.size(); ++i) {
      size_t bytes = width_ * sizeof(float);
      if (which[i] == 3)
        bytes = static_cast<size_t>(faults_.extra_tensor->shape[0]) * sizeof(float);
      std::memcpy(out[i], sources.at(which[i]), bytes);
    }
    return absl::OkStatus();
  }

  absl::Status Restore(const TensorReader& saved) override {
    const auto* checkpoint = dynamic_cast<const CheckpointReader*>(&saved);
    if (checkpoint != nullptr && checkpoint->meta().step == faults_.unusable_step) {
      return absl::DataLossError("bad tensor");
    }
    const std::vector<int64_t> shape = {static_cast<int64_t>(width_)};
    std::vector<float> weights(width_), target(width_), moments(width_);
    const auto read = [&](const char* name, std::vector<float>& out) {
      return saved.Read(name, TensorType::kFloat32, shape, out.data());
    };
    IJEPA_RETURN_IF_ERROR(read("encoder/w", weights));
    IJEPA_RETURN_IF_ERROR(read("target_encoder/w", target));
    IJEPA_RETURN_IF_ERROR(read("exp_avg/encoder/w", moments));
    weights_ = weights;
    target_ = target;
    moments_ = moments;
    return absl::OkStatus();
  }

  std::string ModelLine() const override { return absl::StrCat("toy ", width_); }

 private:
  // Mean brightness in [0, 1] of `width_` equal parts of one image.
  std::vector<float> Stripes(const std::vector<uint8_t>& pixels, int images, int image) const {
    const size_t size = pixels.size() / static_cast<size_t>(images);
    const size_t part = size / width_;
    std::vector<float> stripes(width_);
    for (size_t i = 0; i < width_; ++i) {
      const size_t begin = static_cast<size_t>(image) * size + i * part;
      double sum = 0;
      for (size_t k = 0; k < part; ++k) sum += pixels[begin + k];
      stripes[i] = static_cast<float>(sum / (255.0 * static_cast<double>(part)));
    }
    return stripes;
  }

  const size_t width_;
  const ToyFaults faults_;
  std::vector<float> weights_;
  std::vector<float> moments_;
  std::vector<float> target_;
  std::vector<float> gradient_;
  double loss_ = 0;  // Of the step so far.
  std::deque<StepResult> results_;
  Telemetry measured_;
};

}  // namespace jepa

#endif  // IJEPA_TESTS_FAKES_TOY_LEARNER_H_
