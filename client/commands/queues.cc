// ijepactl queues: shares of the cluster, and how they are used.
#include <string>

#include "client/commands/commands.h"
#include "client/render/sections.h"

namespace ijepa::client {
namespace {

ExitCode RunQueues(Context& context) {
  absl::StatusOr<v1::ListQueuesResponse> list = context.api().ListQueues();
  if (!list.ok()) return context.FailCall(list.status(), "");
  if (context.output != OutputFormat::kTable) return context.PrintMessage(*list);
  context.Print(QueueTable(*list).Render(context.out()));
  return ExitCode::kOk;
}

}  // namespace

void AddQueues(CLI::App& app, Context& context, ExitCode& exit) {
  CLI::App* command = app.add_subcommand(
      "queues",
      "Lists queues: who places their jobs, quota, slots in use and borrowed, jobs waiting");
  command->footer(
      "PLACED BY is own for jobs on the coordinator's own workers, else slurm or kubernetes.\n"
      "Counts are of slots. SHARE is what a queue used lately, over its weight: the lowest goes\n"
      "first.\n\n"
      "Examples:\n  ijepactl queues\n  ijepactl queues -o json");
  command->callback([&context, &exit] { exit = RunQueues(context); });
}

}  // namespace ijepa::client
