// ijepactl export: checkpoints in the formats of other programs.
#include "worker/jepa/exchange/export.h"

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <system_error>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/commands/commands.h"
#include "worker/jepa/exchange/import.h"

namespace ijepa::client {
namespace {

struct ExportArguments {
  std::string checkpoint;
  std::string format;
  std::string encoder = "target";
  jepa::ImportOptions source;
  jepa::ExportOptions options;
};

// The path of JOB's newest committed checkpoint, or of the one at JOB@STEP.
absl::StatusOr<std::string> CommittedPath(Context& context, const std::string& name) {
  const size_t at = name.find('@');
  const std::string job = name.substr(0, at);
  int64_t step = -1;
  if (at != std::string::npos && !absl::SimpleAtoi(name.substr(at + 1), &step)) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", name, "\" is neither a path, a JOB nor a JOB@STEP"));
  }
  const absl::StatusOr<v1::ListCheckpointsResponse> list = context.api().ListCheckpoints(job);
  if (!list.ok()) return list.status();
  for (const v1::Checkpoint& checkpoint : list->checkpoints()) {  // Newest first.
    if (step < 0 || checkpoint.step() == step) return checkpoint.path();
  }
  return absl::NotFoundError(step < 0 ? absl::StrCat(job, " has no checkpoint yet")
                                      : absl::StrCat(job, " has no checkpoint of step ", step));
}

ExitCode RunExport(Context& context, ExportArguments& arguments) {
  const absl::StatusOr<jepa::ExportFormat> format = jepa::ExportFormatByName(arguments.format);
  if (!format.ok()) return context.Fail(ExitCode::kUsage, {std::string(format.status().message())});
  if (arguments.encoder != "target" && arguments.encoder != "context") {
    return context.Fail(ExitCode::kUsage, {absl::StrCat("encoder is \"", arguments.encoder,
                                                        "\"; must be target or context")});
  }
  arguments.options.format = *format;
  arguments.options.context_encoder = arguments.encoder == "context";
  std::string path = arguments.checkpoint;
  std::error_code error;
  if (!std::filesystem::exists(path, error) && path.find('/') == std::string::npos) {
    absl::StatusOr<std::string> committed = CommittedPath(context, path);
    if (!committed.ok()) return context.FailCall(committed.status(), path);
    path = *std::move(committed);
  }
  const auto state = jepa::OpenForUse(path, arguments.source);
  if (!state.ok()) return context.FailFile(state.status());
  const absl::Status status = jepa::ExportState(**state, arguments.options);
  if (!status.ok()) return context.FailFile(status);
  for (const std::string& note : (*state)->info().notes) {
    context.Say(absl::StrCat("note: ", note));
  }
  context.Say(absl::StrCat("exported ", path));
  context.Print(absl::StrCat(arguments.options.folder, "\n"));
  return ExitCode::kOk;
}

}  // namespace

void AddExport(CLI::App& app, Context& context, ExitCode& exit) {
  auto arguments = std::make_shared<ExportArguments>();
  CLI::App* command = app.add_subcommand(
      "export", "Writes a checkpoint for transformers, timm or the published program");
  command
      ->add_option("CHECKPOINT", arguments->checkpoint,
                   "Checkpoint folder, JOB, JOB@STEP, or what import reads")
      ->required();
  command->add_option("DIR", arguments->options.folder, "Folder to make; prints it when done")
      ->required();
  command->add_option("--format", arguments->format, "One of hf, timm, pth, safetensors")
      ->required()
      ->type_name("FORMAT");
  command
      ->add_option("--encoder", arguments->encoder,
                   "Which encoder hf and timm get: target or context [target]")
      ->type_name("NAME");
  command
      ->add_option("--heads", arguments->source.heads,
                   "Attention heads, where CHECKPOINT does not say")
      ->check(CLI::Range(1, 1024))
      ->type_name("N");
  command->add_flag("--force", arguments->options.replace, "Replaces an earlier export in DIR");
  command->footer(
      "hf and timm hold the target encoder, as the paper evaluates it, and the statistics that "
      "the\n"
      "run normalised images with (ImageNet's where CHECKPOINT does not say).\n"
      "JOB is looked up at the coordinator; its checkpoint must be visible from here.\n\n"
      "Examples:\n"
      "  ijepactl export demo-1 --format hf /data/demo-hf\n"
      "  ijepactl export demo-1@500 --format timm /data/demo-timm --encoder context\n"
      "  ijepactl export /checkpoints/demo-1/step-000000000500.g1 --format pth /data/demo-pth");
  command->callback([arguments, &context, &exit] { exit = RunExport(context, *arguments); });
}

}  // namespace ijepa::client
