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

#include "common/status_macros.h"
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

  absl::Status AccumulateShard(const Batch& batch, const MaskBatch& masks,
                               const ShardWeights& weights) override {
    ShardWeights faulty = weights;
    if (steps_.nan_loss.count(batch.step) > 0) {
      faulty.loss = std::numeric_limits<double>::quiet_NaN();
    }
    IJEPA_RETURN_IF_ERROR(sound_->AccumulateShard(batch, masks, faulty));
    float* gradient = sound_->gradient().data;
    if (steps_.nan_gradient.count(batch.step) > 0) {
      gradient[0] = std::numeric_limits<float>::quiet_NaN();
    }
    if (steps_.infinite_gradient.count(batch.step) > 0) {
      gradient[0] = std::numeric_limits<float>::infinity();
    }
    return absl::OkStatus();
  }

  FloatBuffer gradient() override { return sound_->gradient(); }
  void SetScalar(StepScalar scalar, float value) override { sound_->SetScalar(scalar, value); }
  absl::Status Update(const UpdateRates& rates) override { return sound_->Update(rates); }
  absl::StatusOr<StepResult> TakeResult() override { return sound_->TakeResult(); }
  int results_left() const override { return sound_->results_left(); }
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
