// ijepactl cancel: asks a job to save and stop.
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "client/commands/commands.h"
#include "client/commands/values.h"
#include "client/render/job_text.h"

namespace ijepa::client {
namespace {

ExitCode RunCancel(Context& context, const std::string& name) {
  v1::CancelJobRequest request;
  request.set_name(name);
  request.set_request_id(NewRequestId());
  absl::StatusOr<v1::Job> job = context.api().CancelJob(request);
  if (!job.ok()) return context.FailCall(job.status(), name);
  if (context.output != OutputFormat::kTable) return context.PrintMessage(*job);
  v1::JobState state = job->status().state();
  context.Print(absl::StrCat(ShortName(job->name()), "  ", StateName(state), "\n"));
  if (state == v1::JOB_STATE_CANCELLING) {
    context.Say(absl::StrCat("it saves and stops; see it end with `ijepactl watch ",
                             ShortName(job->name()), "`"));
  }
  return ExitCode::kOk;
}

}  // namespace

void AddCancel(CLI::App& app, Context& context, ExitCode& exit) {
  auto name = std::make_shared<std::string>();
  CLI::App* command =
      app.add_subcommand("cancel", "Cancels a job: it saves a checkpoint and stops");
  command->add_option("JOB", *name, "Job to cancel; fine if it is cancelled already")->required();
  command->footer("Examples:\n  ijepactl cancel demo-1");
  command->callback([name, &context, &exit] { exit = RunCancel(context, *name); });
}

}  // namespace ijepa::client
