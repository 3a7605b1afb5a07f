// A learner whose gradient or loss is not finite at chosen steps, around one that is sound. For
// learners whose gradient is in host memory.
#ifndef IJEPA_TESTS_FAKES_FAULTY_LEARNER_H_
#define IJEPA_TESTS_FAKES_FAULTY_LEARNER_H_

#include <limits>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "worker/jepa/model/learner.h"

namespace jepa {

// Steps count from 0, as Batch::step.
struct NonFiniteSteps {
  std::set<int64_t> nan_gradient;
  std::set<int64_t> infinite_gradient;
  std::set<int64_t> nan_loss;
};

class FaultyLearner : public Learner {
 public:
  FaultyLearner(std::unique_ptr<Learner> sound, NonFiniteSteps steps)
      : sound_(std::move(sound)), steps_(std::move(steps)) {}

  absl::StatusOr<double> AccumulateShard(const Batch& batch, const MaskBatch& masks,
                                         double scale) override {
    absl::StatusOr<double> loss = sound_->AccumulateShard(batch, masks, scale);
    float* gradient = sound_->gradient().data;
    if (steps_.nan_gradient.count(batch.step) > 0) {
      gradient[0] = std::numeric_limits<float>::quiet_NaN();
    }
    if (steps_.infinite_gradient.count(batch.step) > 0) {
      gradient[0] = std::numeric_limits<float>::infinity();
    }
    if (steps_.nan_loss.count(batch.step) > 0) return std::numeric_limits<double>::quiet_NaN();
    return loss;
  }

  FloatBuffer gradient() override { return sound_->gradient(); }
  void SetScalar(StepScalar scalar, float value) override { sound_->SetScalar(scalar, value); }
  absl::StatusOr<std::vector<float>> Scalars() override { return sound_->Scalars(); }
  absl::StatusOr<double> Update(const UpdateRates& rates) override { return sound_->Update(rates); }
  absl::Status Discard() override { return sound_->Discard(); }
  void StartTelemetry() override { sound_->StartTelemetry(); }
  absl::StatusOr<Telemetry> ReadTelemetry() override { return sound_->ReadTelemetry(); }
  absl::StatusOr<Features> PooledFeatures(const std::vector<uint8_t>& pixels, int images) override {
    return sound_->PooledFeatures(pixels, images);
  }
  std::vector<TensorToSave> StateLayout() const override { return sound_->StateLayout(); }
  absl::Status CopyState(const std::vector<size_t>& which,
                         const std::vector<void*>& out) const override {
    return sound_->CopyState(which, out);
  }
  absl::Status Restore(const TensorReader& state) override { return sound_->Restore(state); }
  std::string ModelLine() const override { return sound_->ModelLine(); }

 private:
  std::unique_ptr<Learner> sound_;
  const NonFiniteSteps steps_;
};

}  // namespace jepa

#endif  // IJEPA_TESTS_FAKES_FAULTY_LEARNER_H_
