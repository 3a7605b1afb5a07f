// What a new job starts from instead of random weights: meta.load_checkpoint and
// meta.read_checkpoint, as published. ijepa-spec 6.
#ifndef IJEPA_WORKER_JEPA_EXCHANGE_START_STATE_H_
#define IJEPA_WORKER_JEPA_EXCHANGE_START_STATE_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/jepa/checkpoint/checkpoint.h"
#include "worker/jepa/exchange/state_source.h"

namespace jepa {

// The state to start from: `path` itself when it is a file, a checkpoint folder or a folder of
// weights; else the newest in that folder, by time of change, of `tag`-latest.pth.tar and finished
// checkpoint folders. Returns NotFound if there is none.
absl::StatusOr<std::string> FindStart(const std::string& path, const std::string& tag);

// A state as the learner of a job reads it: on the job's grid, and whole. What a source of weights
// lacks is filled in: moments with zeros, the predictor with the job's own initial one. Owned by
// the training thread.
class StartState : public TensorReader {
 public:
  // Opens a path that FindStart gave for a job of model `model`. Returns FailedPrecondition naming
  // both sides if its sizes differ in more than the grid; errors of OpenState.
  static absl::StatusOr<StartState> Open(const std::string& path, const ModelConfig& model);

  const StateInfo& info() const { return source_->info(); }
  // Finished steps of a run that goes on from here: finished epochs times `steps_per_epoch` for a
  // published state, the step for a checkpoint of a run, 0 for weights.
  int64_t FirstStep(int64_t steps_per_epoch) const;
  // Whether the source lacks the predictor, so that KeepInitial must be called before Read.
  bool NeedsInitial() const { return info().model.pred_depth == 0; }
  // The job's initial state; the predictor is taken from it. Borrowed.
  void KeepInitial(const std::vector<TensorToSave>& initial);

  absl::Status Read(const std::string& name, TensorType type, const std::vector<int64_t>& shape,
                    void* out) const override;

 private:
  explicit StartState(std::unique_ptr<StateSource> source) : source_(std::move(source)) {}

  std::unique_ptr<StateSource> source_;
  std::map<std::string, TensorToSave> initial_;
};

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_EXCHANGE_START_STATE_H_
