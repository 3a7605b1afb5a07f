// Translates between a run and checkpoint files.
#include "worker/jepa/run_checkpoint.h"

#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/status_macros.h"
#include "worker/jepa/exchange/pixel_scale.h"
#include "worker/jepa/exchange/state_source.h"

namespace jepa {
namespace {

constexpr char kSeed[] = "seed";

absl::Status Refuse(absl::string_view path, absl::string_view what, absl::string_view there,
                    absl::string_view here) {
  return absl::FailedPreconditionError(absl::StrCat("checkpoint ", path, " is of another run: its ",
                                                    what, " is ", there, ", this job's is ", here,
                                                    "; submit a new job to start afresh"));
}

std::string SeedOf(const CheckpointMeta& meta) {
  const auto found = meta.values.find(kSeed);
  return found == meta.values.end() ? "missing" : found->second;
}

// As the published file has them; exact, so that they come back equal.
void SaveFigures(const TrainConfig& config, const RunFigures& figures,
                 std::map<std::string, std::string>& values) {
  const auto exact = [](double value) { return absl::StrFormat("%.17g", value); };
  values[kStepsPerEpochKey] = absl::StrCat(figures.steps_per_epoch);
  values[kLossKey] = exact(figures.loss);
  values[kBatchSizeKey] = absl::StrCat(config.data.batch_size);
  values[kWorldSizeKey] = absl::StrCat(config.shards);
  values[kPeakLrKey] = exact(config.optimization.lr);
  values[kGroupLrKey] = exact(figures.lr);
  values[kGroupDecayKey] = exact(figures.weight_decay);
  values[kBeta1Key] = exact(config.optimization.beta1);
  values[kBeta2Key] = exact(config.optimization.beta2);
  SavePixelScale(config.model.scale, values);
}

}  // namespace

int64_t GlobalBatch(const TrainConfig& config) {
  return static_cast<int64_t>(config.shards) * config.data.batch_size;
}

CheckpointMeta MetaOf(const TrainConfig& config, const RunState& state, int64_t step) {
  CheckpointMeta meta;
  meta.job_uid = config.job_uid;
  meta.generation = config.generation;
  meta.step = step;
  meta.images_seen = step * GlobalBatch(config);
  meta.model = state.learner.ModelLine();
  meta.values[kSeed] = absl::StrCat(config.seed);
  SaveFigures(config, state.figures, meta.values);
  state.masks.SaveTo(meta.values);
  return meta;
}

absl::Status CheckSameRun(const TrainConfig& config, const CheckpointReader& checkpoint,
                          const std::string& model_line) {
  const CheckpointMeta& meta = checkpoint.meta();
  const std::string path = absl::StrCat("of step ", meta.step);
  if (meta.job_uid != config.job_uid) return Refuse(path, "job", meta.job_uid, config.job_uid);
  if (meta.model != model_line) return Refuse(path, "model", meta.model, model_line);
  const std::string seed = absl::StrCat(config.seed);
  if (SeedOf(meta) != seed) return Refuse(path, "seed", SeedOf(meta), seed);
  const int64_t images = meta.step * GlobalBatch(config);
  if (meta.images_seen != images) {
    return Refuse(path, "number of images seen", absl::StrCat(meta.images_seen),
                  absl::StrCat(images, " (steps times shards times data.batch_size)"));
  }
  return absl::OkStatus();
}

absl::Status RestoreRun(const CheckpointReader& checkpoint, const RunState& state) {
  IJEPA_RETURN_IF_ERROR(state.learner.Restore(checkpoint));
  return state.masks.RestoreFrom(checkpoint.meta().values);
}

}  // namespace jepa
