// ijepactl checkpoints: the committed checkpoints of a job.
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

}  // namespace

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
