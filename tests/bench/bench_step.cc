// A timed step; see bench_step.h.
#include "bench_step.h"

#include <ATen/core/Tensor.h>

#include <ctime>
#include <fstream>

#include "worker/jepa/model/patches.h"
#include "worker/jepa/plan/random.h"

namespace jepa::bench {
namespace {

double Milliseconds(clockid_t clock) {
  timespec now;
  clock_gettime(clock, &now);
  return static_cast<double>(now.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec) * 1e-6;
}

// Names the time since the last call.
class Laps {
 public:
  explicit Laps(StepTimes* times) : times_(times), last_(Milliseconds(CLOCK_MONOTONIC)) {}
  void End(const char* part) {
    const double now = Milliseconds(CLOCK_MONOTONIC);
    times_->parts.emplace_back(part, now - last_);
    last_ = now;
  }

 private:
  StepTimes* times_;
  double last_;
};

}  // namespace

BenchStep::BenchStep(const BenchConfig& config)
    : config_(config),
      networks_(config.model, at::kCPU, config.precision),
      optimizer_(&networks_.storage(), kBenchBeta1, kBenchBeta2) {
  networks_.Initialise(InitMode::kClean, 1);
  const ModelConfig& model = config.model;
  pixels_.resize(static_cast<size_t>(config.batch) * 3 * model.grid_height * model.grid_width *
                 model.patch_size * model.patch_size);
  Philox random(1, Purpose::kCrop, 0, 0);
  for (uint8_t& pixel : pixels_) pixel = static_cast<uint8_t>(random.Below(256));
}

StepTimes BenchStep::Run(const MaskBatch& masks) {
  StepTimes times;
  const double wall = Milliseconds(CLOCK_MONOTONIC);
  const double cpu = Milliseconds(CLOCK_PROCESS_CPUTIME_ID);
  Laps laps(&times);
  const StepRows rows =
      MakeStepRows(masks, config_.batch, networks_.grid_patches(), networks_.device());
  const at::Tensor patches =
      PatchesOfPixels(config_.model, pixels_.data(), config_.batch, networks_.device());
  laps.End("input");
  const at::Tensor targets = networks_.Targets(patches, rows);
  laps.End("target");
  const at::Tensor context = networks_.Context(patches, rows);
  laps.End("context");
  const at::Tensor predictions = networks_.Predict(context, rows);
  laps.End("predictor");
  const at::Tensor loss = networks_.LossOf(predictions, targets);
  loss.backward();
  laps.End("backward");
  FlatStorage& storage = networks_.storage();
  storage.grad.norm().item<double>();
  optimizer_.Step({.lr = kBenchLr, .weight_decay = kBenchWeightDecay, .ema_momentum = kBenchEma});
  storage.grad.zero_();
  laps.End("optimizer");
  times.loss = loss.item<double>();
  times.wall_ms = Milliseconds(CLOCK_MONOTONIC) - wall;
  times.cpu_ms = Milliseconds(CLOCK_PROCESS_CPUTIME_ID) - cpu;
  return times;
}

absl::Status BenchStep::WriteStart(const std::string& path) const {
  std::ofstream file(path, std::ios::binary);
  for (const FlatParameter& parameter : networks_.storage().parameters()) {
    const at::Tensor value = parameter.value.detach().contiguous();
    file.write(reinterpret_cast<const char*>(value.const_data_ptr<float>()),
               static_cast<std::streamsize>(value.nbytes()));
  }
  file.write(reinterpret_cast<const char*>(pixels_.data()),
             static_cast<std::streamsize>(pixels_.size()));
  file.close();
  return file.good() ? absl::OkStatus() : absl::InternalError("cannot write " + path);
}

}  // namespace jepa::bench
