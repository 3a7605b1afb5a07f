// ijepactl nodes: the nodes that workers have registered, and the machines of backends.
#include <memory>
#include <string>

#include "absl/time/time.h"
#include "client/commands/commands.h"
#include "client/commands/values.h"
#include "client/render/job_text.h"
#include "client/render/sections.h"

namespace ijepa::client {
namespace {

ExitCode RunNodes(Context& context) {
  absl::StatusOr<v1::ListNodesResponse> list = context.api().ListNodes();
  if (!list.ok()) return context.FailCall(list.status(), "");
  if (context.output != OutputFormat::kTable) return context.PrintMessage(*list);
  if (list->nodes().empty() && list->backends().empty()) {
    context.Say("no nodes: start ijepa-worker on a machine and point it at this coordinator");
    return ExitCode::kOk;
  }
  const absl::Time now = context.clock().Now();
  if (!list->nodes().empty()) context.Print(NodeTable(*list, now).Render(context.out()));
  bool machines = false;
  for (const v1::BackendNodes& backend : list->backends()) {
    machines = machines || !backend.nodes().empty();
    if (!backend.error().empty()) context.Say(backend.backend() + ": " + backend.error());
  }
  if (machines) context.Print(BackendNodeTable(*list, now).Render(context.out()));
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

// What a window is to be; no start means from now on.
struct WindowOptions {
  std::string node;
  std::string start;
  absl::Duration length = absl::ZeroDuration();
  std::string reason;
  bool clear = false;
};

// RFC 3339, or that long from now ("2h").
bool ReadTime(const std::string& text, absl::Time now, absl::Time& time) {
  time = now;
  absl::Duration ahead;
  if (text.empty()) return true;
  if (absl::ParseDuration(text, &ahead)) {
    time = now + ahead;
    return true;
  }
  return absl::ParseTime(absl::RFC3339_full, text, &time, nullptr);
}

void SetTime(google::protobuf::Timestamp& proto, absl::Time time) {
  proto.set_seconds(absl::ToUnixSeconds(time));
}

// Adds a window to those of the node, or ends all of them.
ExitCode RunMaintenance(Context& context, const WindowOptions& options) {
  v1::SetMaintenanceRequest request;
  request.set_name(options.node);
  if (options.clear)
    return ShowChanged(context, options.node, context.api().SetMaintenance(request));
  absl::Time start;
  if (!ReadTime(options.start, context.clock().Now(), start) ||
      options.length <= absl::ZeroDuration()) {
    return context.Fail(ExitCode::kUsage,
                        {"a window needs --for, and a --start that can be read", "--start, --for",
                         "write for example --start 2h --for 4h, or --start "
                         "2030-01-02T03:00:00Z --for 4h"});
  }
  absl::StatusOr<v1::ListNodesResponse> nodes = context.api().ListNodes();
  if (!nodes.ok()) return context.FailCall(nodes.status(), options.node);
  for (const v1::Node& node : nodes->nodes()) {
    if (ShortName(node.name()) != ShortName(options.node)) continue;
    *request.mutable_windows() = node.maintenance();
  }
  v1::MaintenanceWindow& window = *request.add_windows();
  SetTime(*window.mutable_start_time(), start);
  SetTime(*window.mutable_end_time(), start + options.length);
  window.set_reason(options.reason);
  return ShowChanged(context, options.node, context.api().SetMaintenance(request));
}

void AddMaintenance(CLI::App& nodes, Context& context, ExitCode& exit) {
  auto options = std::make_shared<WindowOptions>();
  CLI::App* command = nodes.add_subcommand(
      "maintenance", "Plans a maintenance window of a node: its ranks save and go on elsewhere");
  command->add_option("NODE", options->node, "Node to maintain")->required();
  command->add_option("--start", options->start, "When it begins: a time, or how far ahead [now]")
      ->type_name("TIME");
  AddDuration(*command, "--for", &options->length, "How long it takes");
  command->add_option("--reason", options->reason, "For people, in `ijepactl nodes -o json`");
  command->add_flag("--clear", options->clear, "Ends all windows of the node");
  command->footer(
      "Examples:\n"
      "  ijepactl nodes maintenance node-7 --start 2h --for 4h --reason 'new fans'\n"
      "  ijepactl nodes maintenance node-7 --start 2030-01-02T03:00:00Z --for 90m\n"
      "  ijepactl nodes maintenance node-7 --clear");
  command->callback([options, &context, &exit] { exit = RunMaintenance(context, *options); });
}

}  // namespace

void AddNodes(CLI::App& app, Context& context, ExitCode& exit) {
  CLI::App* command = app.add_subcommand(
      "nodes", "Lists nodes: state, slots, device; and the machines of backends");
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
  AddMaintenance(*command, context, exit);
  command->callback([command, &context, &exit] {
    if (command->get_subcommands().empty()) exit = RunNodes(context);
  });
}

}  // namespace ijepa::client
