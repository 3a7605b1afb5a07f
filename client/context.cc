// See context.h.
#include "client/context.h"

#include <cstdio>

#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "common/token_file.h"

namespace ijepa::client {

Api& Context::api() {
  if (api_ == nullptr) {
    Api::Options options;
    options.address = coordinator;
    options.token = ReadToken();
    options.project = project;
    if (!tls_authority.empty()) {
      absl::StatusOr<std::string> authority = ReadFile(tls_authority);
      if (!authority.ok()) Say(absl::StrCat("warning: ", authority.status().message()));
      // What is no certificate certifies nobody.
      options.authority = authority.ok() ? *std::move(authority) : "none";
    }
    api_ = std::make_unique<Api>(std::move(options));
  }
  return *api_;
}

std::string Context::ReadToken() {
  const bool named = !token_file.empty();
  absl::StatusOr<std::string> token = ReadTokenFile(named ? token_file : TokenFileFor(coordinator));
  if (token.ok()) return *std::move(token);
  // Without one the coordinator says what is missing, if it asks at all.
  if (named || !absl::IsNotFound(token.status())) {
    Say(absl::StrCat("warning: ", token.status().message()));
  }
  return "";
}

const Terminal& Context::out() {
  if (out_ == nullptr) out_ = std::make_unique<Terminal>(DetectTerminal(stdout, no_color));
  return *out_;
}

const Terminal& Context::err() {
  if (err_ == nullptr) err_ = std::make_unique<Terminal>(DetectTerminal(stderr, no_color));
  return *err_;
}

void Context::Print(absl::string_view text) { std::fwrite(text.data(), 1, text.size(), stdout); }

void Context::Say(absl::string_view line) {
  std::string text = absl::StrCat(line, "\n");
  std::fwrite(text.data(), 1, text.size(), stderr);
}

ExitCode Context::PrintMessage(const google::protobuf::Message& message) {
  absl::StatusOr<std::string> text = ToText(message, output);
  if (!text.ok()) return Fail(ExitCode::kFailed, {std::string(text.status().message()), "", ""});
  Print(*text);
  return ExitCode::kOk;
}

ExitCode Context::Fail(ExitCode code, const Problem& problem) {
  std::fflush(stdout);
  Say(absl::StrCat(err().Paint(Tone::kBad, "error:"), " ", Printable(problem.what)));
  if (!problem.where.empty()) Say(absl::StrCat("  at: ", Printable(problem.where)));
  if (!problem.fix.empty()) Say(absl::StrCat("  fix: ", Printable(problem.fix)));
  return code;
}

ExitCode Context::FailFile(const absl::Status& status) {
  ExitCode code = ExitCode::kFailed;
  if (absl::IsNotFound(status)) code = ExitCode::kNotFound;
  if (absl::IsAlreadyExists(status)) code = ExitCode::kConflict;
  return Fail(code, {std::string(status.message()), "", ""});
}

ExitCode Context::FailCall(const absl::Status& status, absl::string_view subject) {
  ExitCode code = ExitCodeFor(status);
  std::string what(status.message());
  if (what.empty()) what = absl::StatusCodeToString(status.code());
  std::string fix;
  switch (code) {
    case ExitCode::kUnreachable:
      fix = absl::IsDeadlineExceeded(status)
                ? "try again; it may be busy or not a coordinator"
                : "start one with `deploy/local.sh up`, or name yours with --coordinator "
                  "HOST:PORT (IJEPA_COORDINATOR)";
      break;
    case ExitCode::kNotFound:
      fix = "see the jobs with `ijepactl list`";
      break;
    case ExitCode::kAuth:
      fix = "ask the coordinator's owner for access";
      break;
    default:
      break;
  }
  return Fail(code, {std::move(what), std::string(subject), std::move(fix)});
}

}  // namespace ijepa::client
