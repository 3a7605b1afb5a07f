// ijepactl watch: follows a job to its end.
#include <memory>
#include <string>

#include "absl/time/time.h"
#include "client/commands/commands.h"
#include "client/commands/values.h"
#include "client/follow.h"
#include "client/interrupt.h"

namespace ijepa::client {
namespace {

struct WatchOptions {
  std::string job;
  FollowOptions follow;
};

}  // namespace

void AddWatch(CLI::App& app, Context& context, ExitCode& exit) {
  auto options = std::make_shared<WatchOptions>();
  CLI::App* command = app.add_subcommand(
      "watch", "Follows a job to its end: progress, loss curve, images/s, ETA, state changes");
  command->add_option("JOB", options->job, "Job to follow")->required();
  AddDuration(*command, "--timeout", &options->follow.timeout,
              "Leave with code 124 after this long; the job goes on");
  AddDuration(*command, "--interval", &options->follow.interval,
              "Time between lines of figures when stdout is no terminal [5s]");
  command->footer(
      "Ends with 0 when the job succeeded, 8 when it failed, 9 when it was cancelled. Ctrl-C\n"
      "leaves; the job goes on.\n\n"
      "Examples:\n"
      "  ijepactl watch demo-1\n"
      "  ijepactl watch demo-1 --timeout 10m\n"
      "  ijepactl watch demo-1 -o json");
  command->callback([options, &context, &exit] {
    Api& api = context.api();
    Interrupt interrupt([&api] { api.Cancel(); });
    exit = FollowJob(context, interrupt, options->job, options->follow);
  });
}

}  // namespace ijepa::client
