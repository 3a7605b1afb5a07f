// What `submit` and `run` share: the options of a job, and the way from a file to a job at the
// coordinator.
#ifndef IJEPA_CLIENT_COMMANDS_SUBMIT_H_
#define IJEPA_CLIENT_COMMANDS_SUBMIT_H_

#include <CLI/App.hpp>
#include <optional>
#include <string>

#include "client/context.h"
#include "client/exit_code.h"
#include "client/follow.h"
#include "client/job_file.h"

namespace ijepa::client {

struct SubmitOptions {
  JobOptions job;
  bool dry_run = false;
  bool watch = false;
  bool queue_anyway = false;
  bool hold = false;
  bool no_data_check = false;
  std::string request_id;
  FollowOptions follow;
};

// FILE, --set, --ranks, --name, --data, --eval, --eval-fit. `job` outlives `command`.
void AddJobOptions(CLI::App& command, JobOptions* job);

// Reads the job, checks it and its data, submits it and prints its id. Answers its name; or
// nothing, after a dry run, for a sweep, whose array it prints, or when what is wrong has been
// explained: `exit` is then the command's.
std::optional<std::string> SubmitJob(Context& context, const SubmitOptions& options,
                                     ExitCode& exit);

}  // namespace ijepa::client

#endif  // IJEPA_CLIENT_COMMANDS_SUBMIT_H_
