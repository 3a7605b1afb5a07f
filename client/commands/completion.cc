// ijepactl completion: a script for the shell, written from the command line's own definition.
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "client/commands/commands.h"

namespace ijepa::client {
namespace {

// Names of all options of `app` that start with two dashes.
std::string LongOptions(const CLI::App& app) {
  std::string names;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) absl::StrAppend(&names, "--", name, " ");
  }
  return names;
}

std::string BashScript(const CLI::App& app) {
  std::string commands;
  std::string cases;
  for (const CLI::App* command : app.get_subcommands(nullptr)) {
    absl::StrAppend(&commands, command->get_name(), " ");
    std::string words = LongOptions(*command);
    for (const CLI::App* sub : command->get_subcommands(nullptr)) {
      absl::StrAppend(&words, sub->get_name(), " ", LongOptions(*sub));
    }
    absl::StrAppend(&cases, "    ", command->get_name(), ") words=\"", words, "\" ;;\n");
  }
  return absl::StrCat(
      "# bash completion for ijepactl: source <(ijepactl completion bash)\n"
      "_ijepactl() {\n"
      "  local current=${COMP_WORDS[COMP_CWORD]} word command= words=\n"
      "  for word in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n"
      "    case \" ",
      commands,
      "\" in *\" $word \"*) command=$word; break ;; esac\n"
      "  done\n"
      "  case $command in\n"
      "    '') words=\"",
      commands, "\" ;;\n", cases,
      "  esac\n"
      "  case $command in\n"
      "    watch|describe|logs|cancel|checkpoints)\n"
      "      [[ $current == -* ]] || words=$(ijepactl list 2>/dev/null | awk 'NR > 1 {print $1}') "
      ";;\n"
      "  esac\n"
      "  [[ $current == -* ]] && words+=\" ",
      LongOptions(app),
      "\"\n"
      "  COMPREPLY=($(compgen -W \"$words\" -- \"$current\"))\n"
      "}\n"
      "complete -o default -F _ijepactl ijepactl\n");
}

}  // namespace

void AddCompletion(CLI::App& app, Context& context, ExitCode& exit) {
  CLI::App* command = app.add_subcommand("completion", "Prints a completion script for the shell");
  auto shell = std::make_shared<std::string>();
  command->add_option("SHELL", *shell, "bash")->required()->check(CLI::IsMember({"bash"}));
  command->footer("Examples:\n  ijepactl completion bash");
  command->callback([shell, &app, &context, &exit] {
    context.Print(BashScript(app));
    exit = ExitCode::kOk;
  });
}

}  // namespace ijepa::client
