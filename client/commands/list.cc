// ijepactl list: jobs, newest first.
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "client/commands/commands.h"
#include "client/interrupt.h"
#include "client/render/format.h"
#include "client/render/job_text.h"
#include "client/render/table.h"

namespace ijepa::client {
namespace {

constexpr int kLargestPage = 1000;

struct ListOptions {
  int limit = 50;
  std::vector<std::string> states;
  std::vector<std::string> labels;
  bool watch = false;
};

std::vector<Cell> Row(const v1::Job& job, absl::Time now) {
  const v1::JobStatus& status = job.status();
  const v1::StepReport& progress = status.progress();
  bool stepped = progress.total_steps() > 0;
  const v1::Reason& reason = status.reason();
  std::string why = status.state() == v1::JOB_STATE_SUCCEEDED ? "" : reason.code();
  if (!why.empty() && !reason.message().empty()) absl::StrAppend(&why, ": ", reason.message());
  return {
      ShortName(job.name()),
      {StateName(status.state()), StateTone(status.state())},
      RanksText(job.spec().ranks()),
      stepped ? FormatPercent(ProgressShare(progress)) : "-",
      stepped ? absl::StrCat(progress.step(), "/", progress.total_steps()) : "-",
      stepped ? FormatNumber(progress.loss()) : "-",
      status.state() == v1::JOB_STATE_RUNNING ? FormatNumber(progress.images_per_second()) : "-",
      FormatAge(now, status.submit_time()),
      why};
}

// Collects up to `limit` jobs over as many pages as it takes.
absl::StatusOr<v1::ListJobsResponse> FetchJobs(Api& api, v1::ListJobsRequest request, int limit) {
  v1::ListJobsResponse all;
  for (;;) {
    request.set_page_size(std::min(kLargestPage, limit - all.jobs_size()));
    absl::StatusOr<v1::ListJobsResponse> page = api.ListJobs(request);
    if (!page.ok()) return page.status();
    for (auto& job : *page->mutable_jobs()) *all.add_jobs() = std::move(job);
    all.set_next_page_token(page->next_page_token());
    if (page->next_page_token().empty() || all.jobs_size() >= limit || page->jobs().empty()) {
      return all;
    }
    request.set_page_token(page->next_page_token());
  }
}

// One line per change, or one message.
void PrintChanges(Context& context, const v1::WatchJobsResponse& changes) {
  for (const v1::Job& job : changes.jobs()) {
    if (context.output != OutputFormat::kTable) {
      static_cast<void>(context.PrintMessage(job));
      continue;
    }
    const v1::JobStatus& status = job.status();
    const v1::Reason& reason = status.reason();
    context.Print(absl::StrCat(
        absl::FormatTime("%H:%M:%S  ", context.clock().Now(), absl::LocalTimeZone()),
        ShortName(job.name()), "  ", StateName(status.state()),
        status.progress().total_steps() > 0 ? absl::StrCat("  step ", status.progress().step(), "/",
                                                           status.progress().total_steps())
                                            : "",
        reason.code().empty() ? "" : absl::StrCat("  ", reason.code(), ": ", reason.message()),
        "\n"));
  }
  std::fflush(stdout);
}

// Until it is interrupted. Where the coordinator no longer knows what changed, all jobs are shown
// again.
ExitCode WatchList(Context& context, const v1::ListJobsRequest& list) {
  constexpr absl::Duration kPause = absl::Milliseconds(500);
  v1::WatchJobsRequest request;
  *request.mutable_labels() = list.labels();
  *request.mutable_states() = list.states();
  Api& api = context.api();
  Interrupt interrupt([&api] { api.Cancel(); });
  bool answered = false;
  while (!interrupt.happened()) {
    const absl::Status status =
        api.WatchJobs(request, absl::InfiniteFuture(), [&](const v1::WatchJobsResponse& changes) {
          answered = true;
          PrintChanges(context, changes);
          if (changes.revision() != 0) request.set_revision(changes.revision());
          return true;
        });
    if (interrupt.happened()) break;
    const bool too_old = absl::IsOutOfRange(status);
    const bool lost = answered && (status.ok() || absl::IsUnavailable(status));
    if (!too_old && !lost) {
      return context.FailCall(
          status.ok() ? absl::UnavailableError("the coordinator ended the list at once") : status,
          "");
    }
    if (too_old) request.set_revision(0);
    interrupt.WaitFor(kPause);
  }
  return ExitCode::kInterrupted;
}

ExitCode RunList(Context& context, const ListOptions& options) {
  v1::ListJobsRequest request;
  for (const std::string& name : options.states) {
    v1::JobState state;
    if (!v1::JobState_Parse(absl::StrCat("JOB_STATE_", absl::AsciiStrToUpper(name)), &state)) {
      return context.Fail(
          ExitCode::kUsage,
          {absl::StrCat(name, " is not a state of a job"), "--state",
           "one of queued, starting, running, recovering, cancelling, held, blocked, "
           "pausing, paused, succeeded, failed, cancelled"});
    }
    request.add_states(state);
  }
  for (const std::string& label : options.labels) request.add_labels(label);
  if (options.watch) return WatchList(context, request);
  absl::StatusOr<v1::ListJobsResponse> jobs = FetchJobs(context.api(), request, options.limit);
  if (!jobs.ok()) return context.FailCall(jobs.status(), "");
  if (context.output != OutputFormat::kTable) return context.PrintMessage(*jobs);
  if (jobs->jobs().empty()) {
    context.Say("no jobs");
    return ExitCode::kOk;
  }
  Table table({{"JOB"},
               {"STATE"},
               {"RANKS", Align::kRight},
               {"DONE", Align::kRight},
               {"STEP", Align::kRight},
               {"LOSS", Align::kRight},
               {"IMAGES/S", Align::kRight},
               {"SUBMITTED", Align::kRight},
               {"REASON"}});
  absl::Time now = context.clock().Now();
  for (const v1::Job& job : jobs->jobs()) table.AddRow(Row(job, now));
  context.Print(table.Render(context.out()));
  if (!jobs->next_page_token().empty()) context.Say("there are more: raise --limit");
  return ExitCode::kOk;
}

}  // namespace

void AddList(CLI::App& app, Context& context, ExitCode& exit) {
  auto options = std::make_shared<ListOptions>();
  CLI::App* command = app.add_subcommand("list", "Lists jobs, newest first");
  command->add_option("--limit", options->limit, "Jobs to show at most [50]")
      ->check(CLI::Range(1, 1'000'000))
      ->type_name("N");
  command->add_option("--state", options->states, "Only jobs in these states")
      ->delimiter(',')
      ->type_name("STATE,...");
  command->add_option("-l,--label", options->labels, "Only jobs with these labels")
      ->delimiter(',')
      ->type_name("KEY=VALUE,...");
  command->add_flag("-w,--watch", options->watch,
                    "Shows jobs that have not ended, then every job as it changes, until Ctrl-C");
  command->footer(
      "Examples:\n"
      "  ijepactl list\n"
      "  ijepactl list --watch --state queued,starting,running\n"
      "  ijepactl list -l team=vision\n"
      "  ijepactl list --state running,queued\n"
      "  ijepactl list --limit 5 -o yaml");
  command->callback([options, &context, &exit] { exit = RunList(context, *options); });
}

}  // namespace ijepa::client
