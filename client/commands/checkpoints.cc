// ijepactl checkpoints, pin, unpin: the committed checkpoints of a job, and which of them stay.
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "client/commands/commands.h"
#include "client/render/sections.h"

namespace ijepa::client {
namespace {

ExitCode RunCheckpoints(Context& context, const std::string& name) {
  absl::StatusOr<v1::ListCheckpointsResponse> list = context.api().ListCheckpoints(name);
  if (!list.ok()) return context.FailCall(list.status(), name);
  if (context.output != OutputFormat::kTable) return context.PrintMessage(*list);
  if (list->checkpoints().empty()) {
    context.Say(absl::StrCat(name, " has no checkpoint yet"));
    return ExitCode::kOk;
  }
  context.Print(CheckpointTable(*list, context.clock().Now()).Render(context.out()));
  return ExitCode::kOk;
}

ExitCode RunPin(Context& context, const std::string& name, int64_t step, bool pinned) {
  const absl::StatusOr<v1::Job> job =
      context.api().PinCheckpoint(absl::StrCat(name, "/checkpoints/", step), pinned);
  if (!job.ok()) return context.FailCall(job.status(), name);
  return RunCheckpoints(context, name);
}

void AddPinCommand(CLI::App& app, Context& context, ExitCode& exit, bool pinned) {
  auto name = std::make_shared<std::string>();
  auto step = std::make_shared<int64_t>(0);
  CLI::App* command =
      pinned ? app.add_subcommand("pin", "Keeps a checkpoint whatever the job's retention says")
             : app.add_subcommand("unpin", "Leaves a checkpoint to the job's retention again");
  command->add_option("JOB", *name, "Job")->required();
  command->add_option("STEP", *step, "Step of the checkpoint; ijepactl checkpoints JOB lists them")
      ->required()
      ->check(CLI::NonNegativeNumber);
  command->footer(absl::StrCat("Examples:\n  ijepactl ", pinned ? "pin" : "unpin", " demo-1 1500"));
  command->callback(
      [name, step, pinned, &context, &exit] { exit = RunPin(context, *name, *step, pinned); });
}

}  // namespace

void AddPin(CLI::App& app, Context& context, ExitCode& exit) {
  AddPinCommand(app, context, exit, true);
  AddPinCommand(app, context, exit, false);
}

void AddCheckpoints(CLI::App& app, Context& context, ExitCode& exit) {
  auto name = std::make_shared<std::string>();
  CLI::App* command =
      app.add_subcommand("checkpoints", "Lists the committed checkpoints of a job, newest first");
  command->add_option("JOB", *name, "Job")->required();
  command->footer(
      "Examples:\n"
      "  ijepactl checkpoints demo-1\n"
      "  ijepactl checkpoints demo-1 -o json");
  command->callback([name, &context, &exit] { exit = RunCheckpoints(context, *name); });
}

}  // namespace ijepa::client
