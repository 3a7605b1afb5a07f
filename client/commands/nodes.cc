// ijepactl nodes: the nodes that workers have registered.
#include <memory>
#include <string>

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

ExitCode ShowChanged(Context& context, const std::string& name, absl::StatusOr<v1::Node> node) {
  if (!node.ok()) return context.FailCall(node.status(), name);
  if (context.output != OutputFormat::kTable) return context.PrintMessage(*node);
  v1::ListNodesResponse list;
  *list.add_nodes() = *std::move(node);
  context.Print(NodeTable(list, context.clock().Now()).Render(context.out()));
  return ExitCode::kOk;
}

}  // namespace

void AddNodes(CLI::App& app, Context& context, ExitCode& exit) {
  CLI::App* command = app.add_subcommand("nodes", "Lists nodes: state, slots, device");
  command->footer(
      "Examples:\n  ijepactl nodes\n  ijepactl nodes -o json\n  ijepactl nodes release node-7\n"
      "  ijepactl nodes cordon node-7");
  command->require_subcommand(0, 1);
  auto name = std::make_shared<std::string>();
  auto reason = std::make_shared<std::string>();
  CLI::App* release = command->add_subcommand("release", "Ends the quarantine of a node");
  release->add_option("NODE", *name, "Node to release; fine if it is in none")->required();
  release->footer("Examples:\n  ijepactl nodes release node-7");
  release->callback([name, &context, &exit] {
    exit = ShowChanged(context, *name, context.api().ReleaseNode(*name));
  });
  CLI::App* cordon =
      command->add_subcommand("cordon", "Gives a node no more ranks; what runs goes on");
  cordon->add_option("NODE", *name, "Node to cordon")->required();
  cordon->add_option("--reason", *reason, "for people, in `ijepactl nodes -o json`");
  cordon->footer("Examples:\n  ijepactl nodes cordon node-7 --reason 'new fans'");
  cordon->callback([name, reason, &context, &exit] {
    exit = ShowChanged(context, *name, context.api().CordonNode(*name, *reason));
  });
  CLI::App* uncordon = command->add_subcommand("uncordon", "Ends the cordon of a node");
  uncordon->add_option("NODE", *name, "Node to uncordon; fine if it is not cordoned")->required();
  uncordon->footer("Examples:\n  ijepactl nodes uncordon node-7");
  uncordon->callback([name, &context, &exit] {
    exit = ShowChanged(context, *name, context.api().UncordonNode(*name));
  });
  command->callback([command, &context, &exit] {
    if (command->get_subcommands().empty()) exit = RunNodes(context);
  });
}

}  // namespace ijepa::client
