// ijepactl import: states and weights of other programs become checkpoint folders.
#include "worker/jepa/exchange/import.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "client/commands/commands.h"
#include "worker/jepa/plan/model_line.h"

namespace ijepa::client {
namespace {

constexpr int kMaxSide = 16384;

struct ImportArguments {
  std::string source;
  std::optional<std::string> crop_size;
  jepa::ImportOptions options;
};

// "96" is a square; "96x160" and "96,160" are height and width.
absl::StatusOr<jepa::Size> ParseCropSize(const std::string& text) {
  const std::vector<std::string> sides = absl::StrSplit(text, absl::ByAnyChar("x,"));
  jepa::Size size;
  const bool numbers = sides.size() <= 2 && absl::SimpleAtoi(sides.front(), &size.height) &&
                       absl::SimpleAtoi(sides.back(), &size.width);
  if (numbers && std::min(size.height, size.width) >= 1 &&
      std::max(size.height, size.width) <= kMaxSide) {
    return size;
  }
  return absl::InvalidArgumentError(absl::StrCat("--crop-size is \"", text,
                                                 "\"; must be PIXELS or HEIGHTxWIDTH, each in [1, ",
                                                 kMaxSide, "]"));
}

ExitCode RunImport(Context& context, ImportArguments& arguments) {
  if (arguments.crop_size.has_value()) {
    const absl::StatusOr<jepa::Size> size = ParseCropSize(*arguments.crop_size);
    if (!size.ok()) return context.Fail(ExitCode::kUsage, {std::string(size.status().message())});
    arguments.options.crop_size = *size;
  }
  const auto state = jepa::OpenForUse(arguments.source, arguments.options);
  if (!state.ok()) return context.FailFile(state.status());
  const absl::Status status = jepa::ImportState(**state, arguments.options);
  if (!status.ok()) return context.FailFile(status);
  const jepa::StateInfo& info = (*state)->info();
  for (const std::string& note : info.notes) context.Say(absl::StrCat("note: ", note));
  context.Say(absl::StrCat(info.kind, ": ", jepa::ModelLine(info.model), "; ",
                           info.optimizer_step.has_value()
                               ? absl::StrCat(*info.optimizer_step, " optimizer steps")
                               : "weights without optimizer state"));
  context.Print(absl::StrCat(arguments.options.folder, "\n"));
  return ExitCode::kOk;
}

}  // namespace

void AddImport(CLI::App& app, Context& context, ExitCode& exit) {
  auto arguments = std::make_shared<ImportArguments>();
  CLI::App* command = app.add_subcommand(
      "import", "Makes a checkpoint folder of a published .pth.tar, or of weights");
  command
      ->add_option("FILE", arguments->source,
                   ".pth.tar, .safetensors, or a Hugging Face, timm or checkpoint folder")
      ->required();
  command->add_option("DIR", arguments->options.folder, "Folder to make; prints it when done")
      ->required();
  command
      ->add_option("--heads", arguments->options.heads,
                   "Attention heads, where FILE does not say [those of the published model of its "
                   "width]")
      ->check(CLI::Range(1, 1024))
      ->type_name("N");
  command
      ->add_option("--crop-size", arguments->crop_size,
                   "Image size that position tables are made for, PIXELS or HEIGHTxWIDTH [that of "
                   "FILE]")
      ->type_name("SIZE");
  command->add_flag("--force", arguments->options.replace, "Replaces an earlier import in DIR");
  command->footer(
      "Nothing in FILE is executed. A job goes on from DIR with\n"
      "--set meta.load_checkpoint=true --set meta.read_checkpoint=DIR\n\n"
      "Examples:\n"
      "  ijepactl import IN1K-vit.h.14-300e.pth.tar /data/vith14\n"
      "  ijepactl import weights.safetensors /data/start --heads 6 --crop-size 96\n"
      "  ijepactl import wide.pth /data/wide --heads 12 --crop-size 192x320");
  command->callback([arguments, &context, &exit] { exit = RunImport(context, *arguments); });
}

}  // namespace ijepa::client
