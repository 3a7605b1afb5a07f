// Closed forms of the published schedulers. They count steps from 1: step s here is s + 1 there.
#include "worker/jepa/plan/schedules.h"

#include <algorithm>
#include <cmath>

namespace jepa {
namespace {

// From `from` at progress 0 to `to` at progress 1, half a cosine wave. Differs: stays at `to` after
// 1, where the published run, its EMA schedule exhausted, has ended.
double Cosine(double from, double to, double progress) {
  return to + (from - to) * 0.5 * (1.0 + std::cos(M_PI * std::min(progress, 1.0)));
}

}  // namespace

RunLength RunLengthFor(int64_t images, int shards, int batch_size, double epochs) {
  RunLength length;
  if (images <= 0 || shards <= 0 || batch_size <= 0) return length;
  length.steps_per_epoch = ((images - 1) / shards + 1) / batch_size;
  if (length.steps_per_epoch == 0) return length;
  const double steps = epochs * static_cast<double>(length.steps_per_epoch);
  length.total_steps = std::max<int64_t>(1, static_cast<int64_t>(steps));
  return length;
}

Schedules::Schedules(const OptimizationConfig& config, int64_t steps_per_epoch)
    : config_(config),
      warmup_steps_(static_cast<int64_t>(config.warmup * static_cast<double>(steps_per_epoch))),
      stretched_steps_(config.ipe_scale * config.epochs * static_cast<double>(steps_per_epoch)) {}

double Schedules::lr(int64_t step) const {
  const int64_t s = step + 1;
  if (s < warmup_steps_) {
    const double progress = static_cast<double>(s) / static_cast<double>(warmup_steps_);
    return config_.start_lr + progress * (config_.lr - config_.start_lr);
  }
  const int64_t length = static_cast<int64_t>(stretched_steps_) - warmup_steps_;
  const double progress =
      static_cast<double>(s - warmup_steps_) / static_cast<double>(std::max<int64_t>(1, length));
  return std::max(config_.final_lr, Cosine(config_.lr, config_.final_lr, progress));
}

double Schedules::weight_decay(int64_t step) const {
  const auto length = std::max<int64_t>(1, static_cast<int64_t>(stretched_steps_));
  const double progress = static_cast<double>(step + 1) / static_cast<double>(length);
  const double value = Cosine(config_.weight_decay, config_.final_weight_decay, progress);
  return config_.final_weight_decay <= config_.weight_decay
             ? std::max(config_.final_weight_decay, value)
             : std::min(config_.final_weight_decay, value);
}

double Schedules::ema_momentum(int64_t step) const {
  const double progress =
      std::min(1.0, static_cast<double>(step) / std::max(1.0, stretched_steps_));
  return config_.ema.low + progress * (config_.ema.high - config_.ema.low);
}

}  // namespace jepa
