// See command_line.h.
#include "client/command_line.h"

#include <CLI/CLI.hpp>
#include <iostream>
#include <map>
#include <string>

#include "client/commands/commands.h"

namespace ijepa::client {
namespace {

constexpr char kDefaultCoordinator[] = "127.0.0.1:7440";

constexpr char kExamples[] =
    "Examples:\n"
    "  ijepactl submit configs/jobs/demo.yaml --watch\n"
    "  ijepactl list\n"
    "  ijepactl describe demo-1 -o json\n"
    "  ijepactl logs demo-1 -f --rank 0\n";

// Without a port gRPC would silently take that of https.
std::string CheckAddress(const std::string& address) {
  size_t colon = address.rfind(':');
  bool fine = colon != std::string::npos && colon + 1 < address.size() &&
              (address.rfind("unix:", 0) == 0 ||
               address.find_first_not_of("0123456789", colon + 1) == std::string::npos);
  return fine ? "" : address + " is not HOST:PORT";
}

void AddGlobals(CLI::App& app, Context& context) {
  static const std::map<std::string, OutputFormat> kFormats = {{"table", OutputFormat::kTable},
                                                               {"json", OutputFormat::kJson},
                                                               {"yaml", OutputFormat::kYaml}};
  context.coordinator = kDefaultCoordinator;
  app.add_option("--coordinator", context.coordinator, "Coordinator to talk to [127.0.0.1:7440]")
      ->type_name("HOST:PORT")
      ->check(CheckAddress)
      ->envname("IJEPA_COORDINATOR");
  app.add_option("--token-file", context.token_file,
                 "File with your token [that of a coordinator of yours on this machine]")
      ->type_name("FILE")
      ->envname("IJEPA_TOKEN_FILE");
  app.add_option("--tls-authority", context.tls_authority,
                 "PEM file of the authority that certifies the coordinator [none: no TLS]")
      ->type_name("FILE")
      ->envname("IJEPA_TLS_AUTHORITY");
  app.add_option("--project", context.project,
                 "Project of jobs that are made, listed, or named by their id alone [default]")
      ->type_name("PROJECT")
      ->envname("IJEPA_PROJECT");
  app.add_option_function<std::string>(
         "-o,--output",
         [&context](const std::string& name) {
           auto found = kFormats.find(name);
           if (found == kFormats.end()) {
             throw CLI::ValidationError("--output", name + " is not one of table, json, yaml");
           }
           context.output = found->second;
         },
         "How to print data: table, json or yaml [table]")
      ->type_name("FORMAT");
  app.add_flag("--no-color", context.no_color, "No colour; so does the variable NO_COLOR");
  app.set_version_flag("--version", "ijepactl " IJEPA_VERSION);
}

ExitCode ExplainUsage(const CLI::ParseError& error, const CLI::App& app, Context& context) {
  std::string command = "ijepactl";
  for (const CLI::App* sub : app.get_subcommands()) command += " " + sub->get_name();
  std::string what = error.what();
  return context.Fail(ExitCode::kUsage, {what, "", "see `" + command + " --help`"});
}

}  // namespace

ExitCode RunCommandLine(int argc, const char* const* argv, Context& context) {
  CLI::App app("Submits I-JEPA pretraining jobs to a coordinator and shows what they do.",
               "ijepactl");
  app.fallthrough();
  app.require_subcommand(1);
  app.get_formatter()->column_width(34);
  app.footer(std::string(kExamples) + "\n" + ExitCodeHelp());
  AddGlobals(app, context);

  ExitCode exit = ExitCode::kOk;
  for (auto add : {AddSubmit,  AddRun,      AddList,      AddDescribe,    AddWatch, AddLogs,
                   AddCancel,  AddSteering, AddArray,     AddCheckpoints, AddPin,   AddImport,
                   AddExport,  AddNodes,    AddQueues,    AddAuth,        AddAdmin, AddData,
                   AddInspect, AddVersion,  AddCompletion}) {
    add(app, context, exit);
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& help_or_version) {
    return static_cast<ExitCode>(app.exit(help_or_version, std::cout, std::cerr));
  } catch (const CLI::ParseError& error) {
    return ExplainUsage(error, app, context);
  }
  return exit;
}

}  // namespace ijepa::client
