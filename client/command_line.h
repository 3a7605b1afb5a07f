// The command line of ijepactl: global options, commands, help.
#ifndef IJEPA_CLIENT_COMMAND_LINE_H_
#define IJEPA_CLIENT_COMMAND_LINE_H_

#include "client/context.h"
#include "client/exit_code.h"

namespace ijepa::client {

// Parses `argv`, runs the command it names and answers the exit code. Errors of the command line go
// to stderr, help to stdout.
ExitCode RunCommandLine(int argc, const char* const* argv, Context& context);

}  // namespace ijepa::client

#endif  // IJEPA_CLIENT_COMMAND_LINE_H_
