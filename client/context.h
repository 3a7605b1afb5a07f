// What every command gets: the global options, the streams, the coordinator.
#ifndef IJEPA_CLIENT_CONTEXT_H_
#define IJEPA_CLIENT_CONTEXT_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "client/api.h"
#include "client/exit_code.h"
#include "client/render/message.h"
#include "client/render/terminal.h"
#include "common/clock.h"

namespace ijepa::client {

// An error as people see it: at most three lines, what, where, how to fix.
struct Problem {
  std::string what;
  std::string where;
  std::string fix;
};

// Lives for one command. Thread-compatible.
class Context {
 public:
  explicit Context(Clock& clock) : clock_(clock) {}

  // Global options; set by the command line before a command runs.
  std::string coordinator;
  // Empty: that of a local coordinator, if there is one.
  std::string token_file;
  // Empty: no TLS.
  std::string tls_authority;
  // Empty: the default one.
  std::string project;
  OutputFormat output = OutputFormat::kTable;
  bool no_color = false;

  Clock& clock() { return clock_; }
  // The coordinator; nothing is connected before the first call on it.
  Api& api();
  const Terminal& out();
  const Terminal& err();

  // Data, to stdout.
  void Print(absl::string_view text);
  // Talk, to stderr; one line, the newline is added.
  void Say(absl::string_view line);
  // A message in the chosen machine format, to stdout.
  ExitCode PrintMessage(const google::protobuf::Message& message);

  // Explains an error on stderr and answers `code`.
  ExitCode Fail(ExitCode code, const Problem& problem);
  // Explains an error about files on this machine: NotFound answers kNotFound, AlreadyExists
  // kConflict, the rest kFailed.
  ExitCode FailFile(const absl::Status& status);
  // Explains an error of the coordinator, with the next step that its code suggests. `subject` is
  // what was asked for, such as a job's name; it may be empty.
  ExitCode FailCall(const absl::Status& status, absl::string_view subject);

 private:
  std::string ReadToken();
  Clock& clock_;
  std::unique_ptr<Api> api_;
  std::unique_ptr<Terminal> out_;
  std::unique_ptr<Terminal> err_;
};

}  // namespace ijepa::client

#endif  // IJEPA_CLIENT_CONTEXT_H_
