// Numbers from worker/jepa/plan, tables as text.
#include "proto/spec/summary.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/status_macros.h"
#include "proto/spec/fields.h"
#include "proto/spec/spec_validate.h"
#include "proto/spec/train_config.h"
#include "worker/jepa/plan/arithmetic.h"
#include "worker/jepa/plan/memory.h"
#include "worker/jepa/plan/schedules.h"

namespace ijepa::spec {
namespace {

// Simulated steps, images per step, and patches looked at in all: enough for a mean within 1 % on
// published grids, little enough for a command line on any grid.
constexpr int64_t kSimulatedSteps = 400;
constexpr int64_t kSimulatedBatch = 512;
constexpr int64_t kSimulatedPatches = 40'000'000;
constexpr double kGiga = 1e9;

using Lines = std::vector<std::pair<std::string, std::string>>;

std::string Align(const Lines& lines) {
  size_t width = 0;
  for (const auto& line : lines) width = std::max(width, line.first.size());
  std::string text;
  for (const auto& [name, value] : lines) {
    absl::StrAppendFormat(&text, "%-*s  %s\n", static_cast<int>(width), name, value);
  }
  return text;
}

// 187500 as "187,500"; "unknown" when negative.
std::string Count(int64_t value) {
  if (value < 0) return "unknown";
  const std::string digits = absl::StrCat(value);
  std::string text;
  for (size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0) text += ',';
    text += digits[i];
  }
  return text;
}

std::string Bytes(int64_t bytes) {
  return absl::StrFormat("%.2f GiB", static_cast<double>(bytes) / (1 << 30));
}

absl::StatusOr<jepa::MaskForecast> Forecast(const jepa::MaskConfig& mask,
                                            const jepa::ModelConfig& model, int shards, int batch) {
  const int64_t patches = static_cast<int64_t>(model.grid_height) * model.grid_width;
  const int64_t per_shard = std::min<int64_t>(batch, kSimulatedBatch);
  // Of shards that are dealt to together fewer will do: each gets the same share of the images, and
  // so is cut to about the same.
  const int64_t together =
      mask.balance ? std::clamp<int64_t>(kSimulatedBatch / per_shard, 1, shards) : 1;
  const int64_t affordable = kSimulatedPatches / (patches * per_shard * together);
  return jepa::ForecastMasks(mask, model, static_cast<int>(together), static_cast<int>(per_shard),
                             static_cast<int>(std::clamp<int64_t>(affordable, 2, kSimulatedSteps)));
}

}  // namespace

absl::StatusOr<JobSummary> Summarise(const v1::JobSpec& resolved, int64_t images) {
  ValidateOptions without_data;
  without_data.need_data = false;
  IJEPA_RETURN_IF_ERROR(Validate(resolved, without_data));
  IJEPA_ASSIGN_OR_RETURN(const jepa::ModelConfig model, ModelFrom(resolved));
  const jepa::MaskConfig mask = MaskFrom(resolved);
  const int batch = resolved.data().batch_size();
  IJEPA_ASSIGN_OR_RETURN(const jepa::MaskForecast forecast,
                         Forecast(mask, model, resolved.shards(), batch));
  const jepa::ExpectedMasks& kept = forecast.mean;
  const jepa::StepFlop flop = jepa::FlopPerImage(model, mask, kept);
  const jepa::MemoryEstimate memory = jepa::EstimateMemory(
      model, mask, forecast.largest,
      {.batch_size = batch,
       .precision = PrecisionFrom(resolved),
       .activation_checkpointing = resolved.meta().activation_checkpointing(),
       .device = resolved.device() == "cuda" ? jepa::Device::kCuda : jepa::Device::kCpu,
       .moment_ranks = resolved.optimization().zero1() ? resolved.ranks().max() : 1});

  JobSummary summary;
  summary.encoder_parameters = jepa::EncoderParameters(model);
  summary.predictor_parameters = jepa::PredictorParameters(model);
  summary.patches = model.grid_height * model.grid_width;
  summary.context_patches = kept.context_patches;
  summary.target_patches = kept.target_patches;
  summary.target_gflop = flop.target / kGiga;
  summary.context_gflop = flop.context / kGiga;
  summary.predictor_gflop = flop.predictor / kGiga;
  summary.memory_bytes_per_rank = memory.total_bytes();
  summary.state_bytes_per_rank = memory.state_bytes;
  summary.global_batch = static_cast<int64_t>(resolved.shards()) * batch;
  if (images < 0) return summary;
  const jepa::RunLength length =
      jepa::RunLengthFor(images, resolved.shards(), batch, resolved.optimization().epochs());
  summary.images = images;
  summary.steps_per_epoch = length.steps_per_epoch;
  summary.total_steps = length.total_steps;
  return summary;
}

std::string SummaryTable(const JobSummary& summary) {
  return Align({
      {"encoder parameters", Count(summary.encoder_parameters)},
      {"predictor parameters", Count(summary.predictor_parameters)},
      {"patches per image", Count(summary.patches)},
      {"kept per block", absl::StrFormat("%.1f context, %.1f target", summary.context_patches,
                                         summary.target_patches)},
      {"GFLOP per image", absl::StrFormat("%.4g (target %.4g, context %.4g, predictor %.4g)",
                                          summary.gflop_per_image(), summary.target_gflop,
                                          summary.context_gflop, summary.predictor_gflop)},
      {"memory per rank", absl::StrCat(Bytes(summary.memory_bytes_per_rank), " (state ",
                                       Bytes(summary.state_bytes_per_rank), ")")},
      {"global batch", Count(summary.global_batch)},
      {"images", Count(summary.images)},
      {"steps per epoch", Count(summary.steps_per_epoch)},
      {"steps", Count(summary.total_steps)},
  });
}

std::vector<SpecRow> SpecRows(const v1::JobSpec& sparse, const v1::JobSpec& resolved) {
  std::vector<SpecRow> rows;
  for (const Field& field : AllFields()) {
    if (!HasField(resolved, field)) continue;
    rows.push_back({field.path, FieldText(resolved, field), !HasField(sparse, field)});
  }
  return rows;
}

std::string SpecTable(const v1::JobSpec& sparse, const v1::JobSpec& resolved) {
  const std::vector<SpecRow> rows = SpecRows(sparse, resolved);
  size_t width = 0;
  for (const SpecRow& row : rows) width = std::max(width, row.value.size());
  width = std::min<size_t>(width, 48);
  Lines lines;
  for (const SpecRow& row : rows) {
    lines.emplace_back(row.path,
                       row.is_default
                           ? absl::StrFormat("%-*s  default", static_cast<int>(width), row.value)
                           : row.value);
  }
  return Align(lines);
}

}  // namespace ijepa::spec
