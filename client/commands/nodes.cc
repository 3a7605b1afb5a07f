// ijepactl nodes: the nodes that workers have registered.
#include "client/commands/commands.h"
#include "client/render/sections.h"

namespace ijepa::client {
namespace {

ExitCode RunNodes(Context& context) {
  absl::StatusOr<v1::ListNodesResponse> list = context.api().ListNodes();
  if (!list.ok()) return context.FailCall(list.status(), "");
  if (context.output != OutputFormat::kTable) return context.PrintMessage(*list);
  if (list->nodes().empty()) {
    context.Say("no nodes: start ijepa-worker on a machine and point it at this coordinator");
    return ExitCode::kOk;
  }
  context.Print(NodeTable(*list, context.clock().Now()).Render(context.out()));
  return ExitCode::kOk;
}

}  // namespace

void AddNodes(CLI::App& app, Context& context, ExitCode& exit) {
  CLI::App* command = app.add_subcommand("nodes", "Lists nodes: state, slots, device");
  command->footer("Examples:\n  ijepactl nodes\n  ijepactl nodes -o json");
  command->callback([&context, &exit] { exit = RunNodes(context); });
}

}  // namespace ijepa::client
