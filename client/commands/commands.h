// The commands, one file each. Every function adds its command to the command line; the command
// leaves its exit code in `exit`. `context` and `exit` must outlive `app`.
#ifndef IJEPA_CLIENT_COMMANDS_COMMANDS_H_
#define IJEPA_CLIENT_COMMANDS_COMMANDS_H_

#include <CLI/App.hpp>

#include "client/context.h"
#include "client/exit_code.h"

namespace ijepa::client {

void AddSubmit(CLI::App& app, Context& context, ExitCode& exit);
// run --standalone.
void AddRun(CLI::App& app, Context& context, ExitCode& exit);
void AddList(CLI::App& app, Context& context, ExitCode& exit);
void AddDescribe(CLI::App& app, Context& context, ExitCode& exit);
void AddWatch(CLI::App& app, Context& context, ExitCode& exit);
void AddLogs(CLI::App& app, Context& context, ExitCode& exit);
void AddCancel(CLI::App& app, Context& context, ExitCode& exit);
// hold, release, pause, resume, fork and explain.
void AddSteering(CLI::App& app, Context& context, ExitCode& exit);
void AddArray(CLI::App& app, Context& context, ExitCode& exit);
// Prints an array as `array` does.
ExitCode ShowArray(Context& context, const v1::JobArray& array);
void AddAuth(CLI::App& app, Context& context, ExitCode& exit);
void AddAdmin(CLI::App& app, Context& context, ExitCode& exit);
void AddCheckpoints(CLI::App& app, Context& context, ExitCode& exit);
// pin and unpin.
void AddPin(CLI::App& app, Context& context, ExitCode& exit);
void AddImport(CLI::App& app, Context& context, ExitCode& exit);
void AddExport(CLI::App& app, Context& context, ExitCode& exit);
void AddNodes(CLI::App& app, Context& context, ExitCode& exit);
void AddQueues(CLI::App& app, Context& context, ExitCode& exit);
void AddData(CLI::App& app, Context& context, ExitCode& exit);
// The commands of `data` that take a data set: verify, stats, pack.
void AddDataSets(CLI::App& data, Context& context, ExitCode& exit);
void AddInspect(CLI::App& app, Context& context, ExitCode& exit);
void AddVersion(CLI::App& app, Context& context, ExitCode& exit);
void AddCompletion(CLI::App& app, Context& context, ExitCode& exit);

}  // namespace ijepa::client

#endif  // IJEPA_CLIENT_COMMANDS_COMMANDS_H_
