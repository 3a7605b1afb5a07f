// ijepactl version: this program's version and the coordinator's.
#include <string>

#include "absl/strings/str_cat.h"
#include "client/commands/commands.h"
#include "client/render/format.h"
#include "common/status_macros.h"

namespace ijepa::client {
namespace {

// A coordinator that is there answers at once.
constexpr absl::Duration kPatience = absl::Seconds(2);

// {"client": {...}, "server": {...} or null}; no message of the API carries both.
absl::StatusOr<std::string> VersionText(const absl::StatusOr<v1::ServerInfo>& server,
                                        OutputFormat format) {
  std::string json = "null";
  if (server.ok()) {
    IJEPA_ASSIGN_OR_RETURN(json, ToJson(*server, /*compact=*/true));
    json.pop_back();
  }
  std::string document =
      absl::StrCat("{\"client\":{\"version\":\"", IJEPA_VERSION, "\"},\"server\":", json, "}\n");
  return format == OutputFormat::kYaml ? JsonToYaml(document) : document;
}

ExitCode RunVersion(Context& context) {
  absl::StatusOr<v1::ServerInfo> server = context.api().GetServerInfo(kPatience);
  if (context.output != OutputFormat::kTable) {
    absl::StatusOr<std::string> text = VersionText(server, context.output);
    if (!text.ok()) return context.FailCall(text.status(), "");
    context.Print(*text);
  } else {
    context.Print(absl::StrCat("ijepactl     ", IJEPA_VERSION, "\n"));
    if (server.ok()) {
      context.Print(absl::StrCat("coordinator  ", server->version(), "  ", context.coordinator,
                                 "  epoch ", server->coordinator_epoch(), "  started ",
                                 FormatAge(context.clock().Now(), server->start_time()), "\n"));
    }
  }
  if (!server.ok()) context.Say(server.status().message());
  return ExitCode::kOk;
}

}  // namespace

void AddVersion(CLI::App& app, Context& context, ExitCode& exit) {
  CLI::App* command =
      app.add_subcommand("version", "Prints the version of this program and of the coordinator");
  command->footer("Examples:\n  ijepactl version\n  ijepactl version -o json");
  command->callback([&context, &exit] { exit = RunVersion(context); });
}

}  // namespace ijepa::client
