// ijepactl inspect masks: what the masks of a job file show and hide.
#include <algorithm>
#include <memory>
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
  int steps = 50;
};

// Smallest, mean and largest of something over the steps.
struct Spread {
  double low = 0;
  double high = 0;
  double sum = 0;
  int count = 0;
  void Add(double value) {
    low = count == 0 ? value : std::min(low, value);
    high = count == 0 ? value : std::max(high, value);
    sum += value;
    ++count;
  }
  std::string Text() const {
    return absl::StrFormat("%s mean, %.0f to %.0f", FormatNumber(count == 0 ? 0 : sum / count), low,
                           high);
  }
};

struct MaskStatistics {
  jepa::MaskGrid grid;
  int64_t images = 0;
  int blocks = 0;
  // Per patch: in how many images it is in some context block, and in how many target blocks.
  std::vector<int64_t> visible;
  std::vector<int64_t> hidden;
  Spread context;
  Spread target;
};

void Count(const jepa::MaskBatch& batch, int images, MaskStatistics* statistics) {
  size_t patches = statistics->visible.size();
  std::vector<bool> seen(images * patches, false);
  for (const auto& block : batch.context) {
    for (size_t i = 0; i < block.size(); ++i) {
      seen[i / batch.context_patches * patches + block[i]] = true;
    }
  }
  for (size_t i = 0; i < seen.size(); ++i) statistics->visible[i % patches] += seen[i];
  for (const auto& block : batch.target) {
    for (int64_t patch : block) ++statistics->hidden[patch];
  }
  statistics->images += images;
  statistics->context.Add(batch.context_patches);
  statistics->target.Add(batch.target_patches);
}

absl::StatusOr<MaskStatistics> Simulate(const v1::JobSpec& resolved, int steps) {
  MaskStatistics statistics;
  statistics.grid = spec::GridFrom(resolved);
  jepa::MaskConfig config = spec::MaskFrom(resolved);
  IJEPA_RETURN_IF_ERROR(jepa::ValidateMasks(config, statistics.grid));
  statistics.blocks = config.num_pred_masks;
  statistics.visible.assign(statistics.grid.height * statistics.grid.width, 0);
  statistics.hidden = statistics.visible;
  auto sampler = jepa::NewMaskSampler(config, statistics.grid, resolved.init().seed(), /*shard=*/0);
  int images = resolved.data().batch_size();
  for (int step = 0; step < steps; ++step) {
    IJEPA_ASSIGN_OR_RETURN(jepa::MaskBatch batch, sampler->Sample(step, images));
    Count(batch, images, &statistics);
  }
  return statistics;
}

// Two maps side by side, each patch two columns wide.
std::string HeatMaps(const MaskStatistics& statistics, bool utf8) {
  auto map = [&](const std::vector<int64_t>& counts, int row, int64_t most) {
    std::string text;
    for (int column = 0; column < statistics.grid.width; ++column) {
      double share = static_cast<double>(counts[row * statistics.grid.width + column]) /
                     static_cast<double>(std::max<int64_t>(1, most));
      std::string shade = Shade(share, utf8);
      absl::StrAppend(&text, shade, shade);
    }
    return text;
  };
  int64_t most_visible = *std::max_element(statistics.visible.begin(), statistics.visible.end());
  int64_t most_hidden = *std::max_element(statistics.hidden.begin(), statistics.hidden.end());
  std::string text = absl::StrFormat("  %-*s   %s\n", statistics.grid.width * 2 + 2,
                                     "seen as context", "asked for as target");
  for (int row = 0; row < statistics.grid.height; ++row) {
    absl::StrAppend(&text, "  |", map(statistics.visible, row, most_visible), "|   |",
                    map(statistics.hidden, row, most_hidden), "|\n");
  }
  return text;
}

std::string RangeText(const std::vector<int64_t>& counts, double of) {
  auto [low, high] = std::minmax_element(counts.begin(), counts.end());
  return absl::StrCat(FormatPercent(*low / of), " to ", FormatPercent(*high / of));
}

ExitCode RunMasks(Context& context, const InspectOptions& options) {
  absl::StatusOr<JobFile> job = ReadJobFile(options.job);
  absl::Status status = job.ok() ? ValidateJob(*job, /*need_data=*/false) : job.status();
  if (!status.ok()) {
    std::string message(status.message());
    return context.Fail(ExitCode::kInvalidSpec, {message.substr(0, message.find('\n')), "", ""});
  }
  absl::StatusOr<MaskStatistics> drawn = Simulate(job->resolved, options.steps);
  if (!drawn.ok()) {
    return context.Fail(ExitCode::kInvalidSpec,
                        {std::string(drawn.status().message()), "mask", ""});
  }
  double images = static_cast<double>(drawn->images);
  int patches = drawn->grid.height * drawn->grid.width;
  context.Print(absl::StrCat(
      "grid ", drawn->grid.height, " x ", drawn->grid.width, ", ", patches, " patches; ",
      options.steps, " steps of ", job->resolved.data().batch_size(), " images\n",
      HeatMaps(*drawn, context.out().utf8), "context patches kept  ", drawn->context.Text(), "\n",
      "target patches kept   ", drawn->target.Text(), " (each of ", drawn->blocks, " blocks)\n",
      "a patch is context in ", RangeText(drawn->visible, images), " of images, in a target in ",
      RangeText(drawn->hidden, images * drawn->blocks), " of blocks\n"));
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
  masks->add_option("--steps", options->steps, "Steps to draw [50]")
      ->check(CLI::Range(1, 100'000))
      ->type_name("N");
  masks->add_option("--set", options->job.settings, "Value over the file's; repeatable")
      ->type_name("PATH=VALUE")
      ->allow_extra_args(false);
  masks->footer(
      "Examples:\n"
      "  ijepactl inspect masks configs/jobs/demo.yaml\n"
      "  ijepactl inspect masks configs/jobs/demo.yaml --steps 5 --set mask.mode=reference");
  masks->callback([options, &context, &exit] { exit = RunMasks(context, *options); });
}

}  // namespace ijepa::client
