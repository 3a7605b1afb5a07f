// ijepactl inspect masks: what the masks of a job file show and hide.
#include <google/protobuf/struct.pb.h>

#include <algorithm>
#include <memory>
#include <numeric>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/commands/commands.h"
#include "client/job_file.h"
#include "client/render/format.h"
#include "client/render/plot.h"
#include "common/status_macros.h"
#include "proto/spec/train_config.h"
#include "worker/jepa/plan/masks.h"

namespace ijepa::client {
namespace {

struct InspectOptions {
  JobOptions job;
  int steps = 100;
  std::optional<int> batch;
};

// Values of the steps, one each.
class Spread {
 public:
  void Add(double value) { values_.push_back(value); }
  // To be called once, before anything is read.
  void Sort() { std::sort(values_.begin(), values_.end()); }
  double Mean() const {
    return std::accumulate(values_.begin(), values_.end(), 0.0) /
           static_cast<double>(values_.size());
  }
  // What `share` of the values lie at or below.
  double Percentile(double share) const {
    return values_[static_cast<size_t>(share * static_cast<double>(values_.size() - 1))];
  }
  std::string Text() const {
    return absl::StrFormat("%.1f mean, %.0f p5, %.0f p95, %.0f to %.0f", Mean(), Percentile(0.05),
                           Percentile(0.95), values_.front(), values_.back());
  }

 private:
  std::vector<double> values_;
};

struct MaskStatistics {
  jepa::MaskGrid grid;
  jepa::MaskMode mode = jepa::MaskMode::kReference;
  int steps = 0;
  int batch = 0;
  // Per patch: share of images in which it is in a context block, and in a target block.
  std::vector<double> context;
  std::vector<double> target;
  // Per step: patches of a block after the cut to the smallest of the batch.
  Spread context_kept;
  Spread target_kept;

  double RowMean(const std::vector<double>& shares, int row) const {
    const auto first = shares.begin() + static_cast<int64_t>(row) * grid.width;
    return std::accumulate(first, first + grid.width, 0.0) / grid.width;
  }
};

// Adds 1 for every image in which a patch is in one of `blocks`, of `kept` patches each.
void Count(const std::vector<std::vector<int64_t>>& blocks, int kept, int images,
           std::vector<double>* counts) {
  const size_t patches = counts->size();
  std::vector<bool> seen(images * patches, false);
  for (const auto& block : blocks) {
    for (size_t i = 0; i < block.size(); ++i) seen[i / kept * patches + block[i]] = true;
  }
  for (size_t i = 0; i < seen.size(); ++i) (*counts)[i % patches] += seen[i];
}

absl::StatusOr<MaskStatistics> Simulate(const v1::JobSpec& resolved,
                                        const InspectOptions& options) {
  MaskStatistics statistics;
  statistics.grid = spec::GridFrom(resolved);
  jepa::MaskConfig config = spec::MaskFrom(resolved);
  IJEPA_RETURN_IF_ERROR(jepa::ValidateMasks(config, statistics.grid));
  statistics.mode = config.mode;
  statistics.steps = options.steps;
  statistics.batch = options.batch.value_or(resolved.data().batch_size());
  statistics.context.assign(statistics.grid.height * statistics.grid.width, 0);
  statistics.target = statistics.context;
  auto sampler = jepa::NewMaskSampler(config, statistics.grid, resolved.init().seed(), /*shard=*/0);
  for (int step = 0; step < statistics.steps; ++step) {
    IJEPA_ASSIGN_OR_RETURN(jepa::MaskBatch masks, sampler->Sample(step, statistics.batch));
    Count(masks.context, masks.context_patches, statistics.batch, &statistics.context);
    Count(masks.target, masks.target_patches, statistics.batch, &statistics.target);
    statistics.context_kept.Add(masks.context_patches);
    statistics.target_kept.Add(masks.target_patches);
  }
  const double images = static_cast<double>(statistics.steps) * statistics.batch;
  for (double& share : statistics.context) share /= images;
  for (double& share : statistics.target) share /= images;
  statistics.context_kept.Sort();
  statistics.target_kept.Sort();
  return statistics;
}

// Both maps side by side with the mean of each row; a patch is two columns wide, the fullest shade
// is the largest share of the map.
std::string HeatMaps(const MaskStatistics& statistics, bool utf8) {
  auto map = [&](const std::vector<double>& shares, int row) {
    double most = *std::max_element(shares.begin(), shares.end());
    std::string text;
    for (int column = 0; column < statistics.grid.width; ++column) {
      double share = shares[row * statistics.grid.width + column];
      std::string shade = Shade(most > 0 ? share / most : 0, utf8);
      absl::StrAppend(&text, shade, shade);
    }
    return absl::StrFormat("%7s |%s|", FormatPercent(statistics.RowMean(shares, row)), text);
  };
  std::string text = absl::StrFormat("row  %-*s  %s\n", statistics.grid.width * 2 + 10,
                                     "seen as context", "asked for as target");
  for (int row = 0; row < statistics.grid.height; ++row) {
    absl::StrAppend(&text, absl::StrFormat("%3d  ", row), map(statistics.context, row), "  ",
                    map(statistics.target, row), "\n");
  }
  return text;
}

std::string RangeText(const std::vector<double>& shares) {
  auto [low, high] = std::minmax_element(shares.begin(), shares.end());
  return absl::StrCat(FormatPercent(*low), " to ", FormatPercent(*high));
}

std::string ModeName(jepa::MaskMode mode) {
  return mode == jepa::MaskMode::kFixed ? "fixed" : "reference";
}

google::protobuf::Value NumberValue(double number) {
  google::protobuf::Value value;
  value.set_number_value(number);
  return value;
}

// A list of rows, each a list of shares.
google::protobuf::Value GridValue(const MaskStatistics& statistics,
                                  const std::vector<double>& shares) {
  google::protobuf::Value value;
  for (int row = 0; row < statistics.grid.height; ++row) {
    auto* cells = value.mutable_list_value()->add_values()->mutable_list_value();
    for (int column = 0; column < statistics.grid.width; ++column) {
      *cells->add_values() = NumberValue(shares[row * statistics.grid.width + column]);
    }
  }
  return value;
}

google::protobuf::Value KeptValue(const Spread& kept) {
  google::protobuf::Value value;
  auto& fields = *value.mutable_struct_value()->mutable_fields();
  fields["mean"] = NumberValue(kept.Mean());
  fields["p5"] = NumberValue(kept.Percentile(0.05));
  fields["p95"] = NumberValue(kept.Percentile(0.95));
  fields["min"] = NumberValue(kept.Percentile(0));
  fields["max"] = NumberValue(kept.Percentile(1));
  return value;
}

google::protobuf::Struct ToMessage(const MaskStatistics& statistics) {
  google::protobuf::Struct message;
  auto& fields = *message.mutable_fields();
  fields["gridHeight"] = NumberValue(statistics.grid.height);
  fields["gridWidth"] = NumberValue(statistics.grid.width);
  fields["mode"].set_string_value(ModeName(statistics.mode));
  fields["steps"] = NumberValue(statistics.steps);
  fields["batch"] = NumberValue(statistics.batch);
  fields["contextShare"] = GridValue(statistics, statistics.context);
  fields["targetShare"] = GridValue(statistics, statistics.target);
  fields["contextPatches"] = KeptValue(statistics.context_kept);
  fields["targetPatches"] = KeptValue(statistics.target_kept);
  return message;
}

ExitCode RunMasks(Context& context, const InspectOptions& options) {
  absl::StatusOr<JobFile> job = ReadJobFile(options.job);
  absl::Status status = job.ok() ? ValidateJob(*job, /*need_data=*/false) : job.status();
  if (!status.ok()) {
    std::string message(status.message());
    return context.Fail(ExitCode::kInvalidSpec, {message.substr(0, message.find('\n')), "", ""});
  }
  absl::StatusOr<MaskStatistics> drawn = Simulate(job->resolved, options);
  if (!drawn.ok()) {
    return context.Fail(ExitCode::kInvalidSpec,
                        {std::string(drawn.status().message()), "mask", ""});
  }
  if (context.output != OutputFormat::kTable) return context.PrintMessage(ToMessage(*drawn));
  context.Print(absl::StrCat(
      "grid ", drawn->grid.height, " x ", drawn->grid.width, ", ",
      drawn->grid.height * drawn->grid.width, " patches; mask.mode ", ModeName(drawn->mode), "; ",
      drawn->steps, " steps of ", drawn->batch, " images\n", HeatMaps(*drawn, context.out().utf8),
      "context patches kept  ", drawn->context_kept.Text(), "\ntarget patches kept   ",
      drawn->target_kept.Text(), " (each of ", job->resolved.mask().num_pred_masks(),
      " blocks)\na patch is context in ", RangeText(drawn->context), " of images, in a target in ",
      RangeText(drawn->target), "\n"));
  return ExitCode::kOk;
}

}  // namespace

void AddInspect(CLI::App& app, Context& context, ExitCode& exit) {
  CLI::App* command = app.add_subcommand("inspect", "Looks into a job file");
  command->require_subcommand(1);
  command->footer("Examples:\n  ijepactl inspect masks configs/jobs/demo.yaml");
  auto options = std::make_shared<InspectOptions>();
  CLI::App* masks = command->add_subcommand(
      "masks", "Draws the masks of a job file: how often each patch is seen and asked for");
  masks->add_option("FILE", options->job.file, "Job file in YAML; - reads stdin")->required();
  masks->add_option("--steps", options->steps, "Steps to draw [100]")
      ->check(CLI::Range(1, 100'000))
      ->type_name("N");
  masks->add_option("--batch", options->batch, "Images per step [data.batch_size]")
      ->check(CLI::Range(1, 65'536))
      ->type_name("N");
  masks->add_option("--set", options->job.settings, "Value over the file's; repeatable")
      ->type_name("PATH=VALUE")
      ->allow_extra_args(false);
  masks->footer(
      "Examples:\n"
      "  ijepactl inspect masks configs/jobs/demo.yaml\n"
      "  ijepactl inspect masks configs/jobs/demo.yaml --steps 5 --set mask.mode=reference\n"
      "  ijepactl inspect masks configs/jobs/vit_base.yaml --batch 32 -o json");
  masks->callback([options, &context, &exit] { exit = RunMasks(context, *options); });
}

}  // namespace ijepa::client
