// ijepactl auth and admin: tokens, the audit log, backups.
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "client/commands/commands.h"
#include "client/commands/values.h"
#include "client/render/format.h"
#include "client/render/table.h"

namespace ijepa::client {
namespace {

const std::map<std::string, v1::Role>& Roles() {
  static const auto* roles = new std::map<std::string, v1::Role>{
      {"viewer", v1::ROLE_VIEWER}, {"user", v1::ROLE_USER}, {"admin", v1::ROLE_ADMIN}};
  return *roles;
}

std::string RoleName(v1::Role role) {
  for (const auto& [name, value] : Roles()) {
    if (value == role) return name;
  }
  return "-";
}

std::string GrantsText(const v1::Token& token) {
  return absl::StrJoin(token.grants(), " ", [](std::string* out, const v1::Grant& grant) {
    absl::StrAppend(out, grant.project(), ":", RoleName(grant.role()));
  });
}

struct TokenOptions {
  std::string user;
  std::vector<std::string> grants = {"default:user"};
  std::string scope;
  absl::Duration lifetime = absl::ZeroDuration();
};

ExitCode RunCreate(Context& context, const TokenOptions& options) {
  v1::CreateTokenRequest request;
  request.set_user(options.user);
  for (const std::string& text : options.grants) {
    const std::pair<std::string, std::string> parts = absl::StrSplit(text, absl::MaxSplits(':', 1));
    const auto role = Roles().find(parts.second);
    if (role == Roles().end()) {
      return context.Fail(ExitCode::kUsage, {absl::StrCat(text, " is no PROJECT:ROLE"), "--grant",
                                             "write for example default:user, or *:admin"});
    }
    v1::Grant& grant = *request.add_grants();
    grant.set_project(parts.first);
    grant.set_role(role->second);
  }
  if (!options.scope.empty()) request.set_scope(Roles().at(options.scope));
  request.set_lifetime_seconds(absl::ToInt64Seconds(options.lifetime));
  absl::StatusOr<v1::CreateTokenResponse> made = context.api().CreateToken(request);
  if (!made.ok()) return context.FailCall(made.status(), options.user);
  if (context.output != OutputFormat::kTable) return context.PrintMessage(*made);
  context.Print(absl::StrCat(made->secret(), "\n"));
  context.Say(absl::StrCat("this is the only time that it is shown; its name is ",
                           made->token().name(),
                           ". Keep it in a file of mode 0600, named by IJEPA_TOKEN_FILE"));
  return ExitCode::kOk;
}

ExitCode ShowTokens(Context& context, const v1::ListTokensResponse& list) {
  if (context.output != OutputFormat::kTable) return context.PrintMessage(list);
  Table table(
      {{"TOKEN"}, {"USER"}, {"GRANTS"}, {"SCOPE"}, {"CREATED", Align::kRight}, {"EXPIRES"}});
  const absl::Time now = context.clock().Now();
  for (const v1::Token& token : list.tokens()) {
    table.AddRow({token.name(), token.user(), GrantsText(token), RoleName(token.scope()),
                  token.has_create_time() ? FormatAge(now, token.create_time()) : "-",
                  token.has_expire_time()
                      ? absl::FormatTime(absl::FromUnixSeconds(token.expire_time().seconds()))
                      : "never"});
  }
  context.Print(table.Render(context.out()));
  return ExitCode::kOk;
}

ExitCode RunList(Context& context) {
  absl::StatusOr<v1::ListTokensResponse> list = context.api().ListTokens();
  return list.ok() ? ShowTokens(context, *list) : context.FailCall(list.status(), "");
}

ExitCode RunStatus(Context& context) {
  absl::StatusOr<v1::Token> token = context.api().WhoAmI();
  if (!token.ok()) return context.FailCall(token.status(), "");
  if (context.output != OutputFormat::kTable) return context.PrintMessage(*token);
  if (token->user().empty()) {
    context.Print("this coordinator asks nobody who they are\n");
    return ExitCode::kOk;
  }
  v1::ListTokensResponse list;
  *list.add_tokens() = *std::move(token);
  return ShowTokens(context, list);
}

ExitCode RunAudit(Context& context, int limit, const std::string& user) {
  v1::ListAuditEventsRequest request;
  request.set_page_size(limit);
  request.set_user(user);
  absl::StatusOr<v1::ListAuditEventsResponse> list = context.api().ListAuditEvents(request);
  if (!list.ok()) return context.FailCall(list.status(), "");
  if (context.output != OutputFormat::kTable) return context.PrintMessage(*list);
  Table table({{"WHEN", Align::kRight}, {"USER"}, {"METHOD"}, {"WHAT"}, {"RESULT"}, {"FROM"}});
  const absl::Time now = context.clock().Now();
  for (const v1::AuditEvent& event : list->events()) {
    table.AddRow({FormatAge(now, event.time()), event.user().empty() ? "-" : event.user(),
                  event.method(), event.resource(), event.code(), event.peer()});
  }
  context.Print(table.Render(context.out()));
  return ExitCode::kOk;
}

ExitCode RunBackup(Context& context, const std::string& file) {
  v1::BackupStoreRequest request;
  request.set_file_name(file);
  absl::StatusOr<v1::BackupStoreResponse> made = context.api().BackupStore(request);
  if (!made.ok()) return context.FailCall(made.status(), file);
  if (context.output != OutputFormat::kTable) return context.PrintMessage(*made);
  context.Print(absl::StrCat(made->path(), "\n"));
  context.Say(absl::StrCat(FormatBytes(made->bytes()), ", on the coordinator's machine"));
  return ExitCode::kOk;
}

void AddCreate(CLI::App& auth, Context& context, ExitCode& exit) {
  auto options = std::make_shared<TokenOptions>();
  CLI::App* create = auth.add_subcommand("create", "Makes a token; prints it, this once");
  create->add_option("USER", options->user, "Who will show it")->required();
  create->add_option("--grant", options->grants, "What they may do [default:user]")
      ->type_name("PROJECT:ROLE");
  create->add_option("--scope", options->scope, "The most that this token may do")
      ->check(CLI::IsMember({"viewer", "user", "admin"}))
      ->type_name("ROLE");
  AddDuration(*create, "--lifetime", &options->lifetime, "Until it expires [never]");
  create->footer(
      "Examples:\n"
      "  ijepactl auth create ann --lifetime 2160h > ann.token\n"
      "  ijepactl auth create ci --grant default:user --scope viewer");
  create->callback([options, &context, &exit] { exit = RunCreate(context, *options); });
}

}  // namespace

void AddAuth(CLI::App& app, Context& context, ExitCode& exit) {
  CLI::App* auth = app.add_subcommand("auth", "Tokens that open the coordinator");
  auth->footer(
      "Examples:\n  ijepactl auth status\n  ijepactl auth create ann\n  ijepactl auth list");
  auth->require_subcommand(1);
  AddCreate(*auth, context, exit);
  CLI::App* list = auth->add_subcommand("list", "Lists all tokens");
  list->footer("Examples:\n  ijepactl auth list");
  list->callback([&context, &exit] { exit = RunList(context); });
  CLI::App* status = auth->add_subcommand("status", "Says who you are to the coordinator");
  status->footer("Examples:\n  ijepactl auth status");
  status->callback([&context, &exit] { exit = RunStatus(context); });
  auto name = std::make_shared<std::string>();
  CLI::App* revoke = auth->add_subcommand("revoke", "Ends a token at once");
  revoke->add_option("TOKEN", *name, "Name of the token; fine if it is gone")->required();
  revoke->footer("Examples:\n  ijepactl auth revoke tokens/k3q7xabc");
  revoke->callback([name, &context, &exit] {
    const absl::Status done = context.api().RevokeToken(*name);
    exit = done.ok() ? ExitCode::kOk : context.FailCall(done, *name);
  });
}

void AddAdmin(CLI::App& app, Context& context, ExitCode& exit) {
  CLI::App* admin = app.add_subcommand("admin", "For those who run the coordinator");
  admin->footer("Examples:\n  ijepactl admin backup\n  ijepactl admin audit --user ann");
  admin->require_subcommand(1);
  auto file = std::make_shared<std::string>();
  CLI::App* backup = admin->add_subcommand("backup", "Copies the store while it is in use");
  backup->add_option("FILE", *file, "Name below {data_dir}/backups [the time]");
  backup->footer("Examples:\n  ijepactl admin backup");
  backup->callback([file, &context, &exit] { exit = RunBackup(context, *file); });
  auto limit = std::make_shared<int>(50);
  auto user = std::make_shared<std::string>();
  CLI::App* audit = admin->add_subcommand("audit", "Lists what was changed by whom, newest first");
  audit->add_option("--limit", *limit, "Lines to show at most [50]")
      ->check(CLI::Range(1, 1000))
      ->type_name("N");
  audit->add_option("--user", *user, "Only those of this user")->type_name("USER");
  audit->footer("Examples:\n  ijepactl admin audit --user ann");
  audit->callback([limit, user, &context, &exit] { exit = RunAudit(context, *limit, *user); });
}

}  // namespace ijepa::client
