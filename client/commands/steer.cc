// ijepactl hold, release, pause, resume, fork, explain: what people ask of a job that is there.
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/commands/commands.h"
#include "client/commands/values.h"
#include "client/render/format.h"
#include "client/render/job_text.h"

namespace ijepa::client {
namespace {

ExitCode ShowJob(Context& context, const absl::StatusOr<v1::Job>& job, const std::string& name) {
  if (!job.ok()) return context.FailCall(job.status(), name);
  if (context.output != OutputFormat::kTable) return context.PrintMessage(*job);
  context.Print(absl::StrCat(ShortName(job->name()), "  ", StateName(job->status().state()), "\n"));
  return ExitCode::kOk;
}

// One of the four verbs that take a job and nothing else.
struct Verb {
  const char* name;
  const char* help;
  absl::StatusOr<v1::Job> (*call)(Api& api, const std::string& job);
};

template <typename Request>
Request RequestFor(const std::string& job) {
  Request request;
  request.set_name(job);
  request.set_request_id(NewRequestId());
  return request;
}

constexpr Verb kVerbs[] = {
    {"hold", "Keeps a job that waits from starting",
     [](Api& api, const std::string& job) {
       return api.HoldJob(RequestFor<v1::HoldJobRequest>(job));
     }},
    {"release", "Ends the hold of a job",
     [](Api& api, const std::string& job) {
       return api.ReleaseJob(RequestFor<v1::ReleaseJobRequest>(job));
     }},
    {"pause", "Lets a job save a checkpoint and stop until it is resumed",
     [](Api& api, const std::string& job) {
       return api.PauseJob(RequestFor<v1::PauseJobRequest>(job));
     }},
    {"resume", "Queues a paused job again; it goes on from its checkpoint",
     [](Api& api, const std::string& job) {
       return api.ResumeJob(RequestFor<v1::ResumeJobRequest>(job));
     }},
};

struct ForkOptions {
  std::string job;
  std::optional<int64_t> step;
  std::vector<std::string> settings;
  bool hold = false;
  bool queue_anyway = false;
};

ExitCode RunFork(Context& context, const ForkOptions& options) {
  auto request = RequestFor<v1::ForkJobRequest>(options.job);
  if (options.step.has_value()) request.set_step(*options.step);
  for (const std::string& setting : options.settings) request.add_settings(setting);
  request.set_hold(options.hold);
  request.set_queue_anyway(options.queue_anyway);
  absl::StatusOr<v1::Job> job = context.api().ForkJob(request);
  if (!job.ok()) return context.FailCall(job.status(), options.job);
  if (context.output != OutputFormat::kTable) return context.PrintMessage(*job);
  context.Print(absl::StrCat(ShortName(job->name()), "\n"));
  return ExitCode::kOk;
}

void AddFork(CLI::App& app, Context& context, ExitCode& exit) {
  auto options = std::make_shared<ForkOptions>();
  CLI::App* command = app.add_subcommand(
      "fork", "Submits a new job that starts from a checkpoint of another; prints its id");
  command->add_option("JOB", options->job, "Job to start from, in whatever state")->required();
  command->add_option("--step", options->step, "Step of the checkpoint [the newest]")
      ->type_name("STEP");
  command->add_option("--set", options->settings, "Value over the job's; repeatable")
      ->type_name("PATH=VALUE")
      ->allow_extra_args(false);
  command->add_flag("--hold", options->hold, "It waits until it is released");
  command->add_flag("--queue-anyway", options->queue_anyway,
                    "Accept a job that needs more slots than there are");
  command->footer(
      "Examples:\n"
      "  ijepactl fork demo-1\n"
      "  ijepactl fork demo-1 --step 1500 --set optimization.lr=1e-4");
  command->callback([options, &context, &exit] { exit = RunFork(context, *options); });
}

std::string ExplanationText(const v1::JobExplanation& explained, absl::Time now) {
  std::string text = StateName(explained.state());
  if (explained.has_state_time()) {
    absl::StrAppend(&text, " since ", FormatAge(now, explained.state_time()));
  }
  absl::StrAppend(&text, "\n");
  const auto line = [&text](absl::string_view key, absl::string_view value) {
    if (!value.empty()) absl::StrAppend(&text, key, value, "\n");
  };
  const v1::Reason& reason = explained.reason();
  line("  why    ", ReasonText(reason));
  line("  short  ", reason.short_by() > 0 ? absl::StrCat(reason.short_by(), " ", reason.resource())
                                          : std::string());
  for (const std::string& job : reason.jobs_ahead()) line("  ahead  ", job);
  line("  owner  ", explained.owner());
  line("  next   ", explained.next());
  for (const std::string& action : explained.actions()) line("  try    ", action);
  for (const v1::Event& event : explained.events()) {
    line("  event  ", absl::StrCat(event.code(), " ", EventText(event)));
  }
  return text;
}

ExitCode RunExplain(Context& context, const std::string& name) {
  absl::StatusOr<v1::JobExplanation> explained = context.api().ExplainJob(name);
  if (!explained.ok()) return context.FailCall(explained.status(), name);
  if (context.output != OutputFormat::kTable) return context.PrintMessage(*explained);
  context.Print(ExplanationText(*explained, context.clock().Now()));
  return ExitCode::kOk;
}

void AddExplain(CLI::App& app, Context& context, ExitCode& exit) {
  auto name = std::make_shared<std::string>();
  CLI::App* command = app.add_subcommand(
      "explain", "Says why a job is where it is, who moves it on, and what one can do");
  command->add_option("JOB", *name, "Job")->required();
  command->footer("Examples:\n  ijepactl explain demo-1");
  command->callback([name, &context, &exit] { exit = RunExplain(context, *name); });
}

}  // namespace

void AddSteering(CLI::App& app, Context& context, ExitCode& exit) {
  for (const Verb& verb : kVerbs) {
    auto name = std::make_shared<std::string>();
    CLI::App* command = app.add_subcommand(verb.name, verb.help);
    command->add_option("JOB", *name, "Job; fine if it is so already")->required();
    command->footer(absl::StrCat("Examples:\n  ijepactl ", verb.name, " demo-1"));
    command->callback([&verb, name, &context, &exit] {
      exit = ShowJob(context, verb.call(context.api(), *name), *name);
    });
  }
  AddFork(app, context, exit);
  AddExplain(app, context, exit);
}

}  // namespace ijepa::client
