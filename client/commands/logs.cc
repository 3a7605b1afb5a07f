// ijepactl logs: what the ranks of a job wrote.
#include <algorithm>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "client/commands/commands.h"
#include "client/commands/values.h"
#include "client/follow.h"
#include "client/interrupt.h"
#include "client/log_cursor.h"
#include "client/render/format.h"
#include "client/render/job_text.h"

namespace ijepa::client {
namespace {

constexpr absl::Duration kWaitForCoordinator = absl::Minutes(10);
constexpr absl::Duration kFirstAnswer = absl::Seconds(1);
constexpr absl::Duration kPause = absl::Milliseconds(500);

struct LogsOptions {
  v1::ReadLogsRequest request;
  std::string ranks = "all";
  bool timestamps = false;
  absl::Duration timeout = absl::InfiniteDuration();
};

// "[r3] ", "[r3 g2] " or nothing, as far as the lines can differ in it.
struct Prefix {
  bool rank = false;
  bool generation = false;
};

std::string LineText(const v1::LogLine& line, Prefix prefix, bool timestamps) {
  std::string text;
  if (timestamps && IsSet(line.time())) {
    absl::StrAppend(&text, absl::FormatTime("%Y-%m-%dT%H:%M:%E3S%Ez ", ToTime(line.time()),
                                            absl::LocalTimeZone()));
  }
  if (prefix.rank || prefix.generation) {
    absl::StrAppend(&text, "[", prefix.rank ? absl::StrCat("r", line.rank()) : "",
                    prefix.rank && prefix.generation ? " " : "",
                    prefix.generation ? absl::StrCat("g", line.generation()) : "", "] ");
  }
  return absl::StrCat(text, line.text(), "\n");
}

void PrintLine(Context& context, const v1::LogLine& line, Prefix prefix, bool timestamps) {
  if (context.output == OutputFormat::kTable) {
    context.Print(LineText(line, prefix, timestamps));
    return;
  }
  absl::StatusOr<std::string> text = context.output == OutputFormat::kJson
                                         ? ToJson(line, /*compact=*/true)
                                         : ToText(line, OutputFormat::kYaml);
  if (text.ok()) {
    context.Print(context.output == OutputFormat::kYaml ? absl::StrCat("---\n", *text) : *text);
  }
}

// Prints the stream, and with follow opens it again when the coordinator went away.
ExitCode StreamLogs(Context& context, Interrupt& interrupt, const LogsOptions& options,
                    Prefix prefix) {
  v1::ReadLogsRequest request = options.request;
  LogCursor cursor(request.tail_lines() > 0);
  Clock& clock = context.clock();
  absl::Time deadline = DeadlineAfter(clock.Now(), options.timeout);
  absl::Time heard = clock.Now();
  bool any = false;
  for (;;) {
    absl::Status status = context.api().ReadLogs(request, deadline, [&](const v1::LogLines& lines) {
      any = true;
      heard = clock.Now();
      for (const v1::LogLine& line : lines.lines()) {
        if (cursor.Take(line)) PrintLine(context, line, prefix, options.timestamps);
      }
      std::fflush(stdout);
      return true;
    });
    if (interrupt.happened()) return SayDetached(context, ShortName(request.job()));
    if (status.ok()) return ExitCode::kOk;
    absl::Time now = clock.Now();
    if (now >= deadline) {
      return context.Fail(ExitCode::kTimeout, {"--timeout passed", ShortName(request.job()), ""});
    }
    bool again = absl::IsUnavailable(status) && (request.follow() || !any) &&
                 now - heard < (any ? kWaitForCoordinator : kFirstAnswer);
    if (!again) return context.FailCall(status, ShortName(request.job()));
    if (any) request.set_tail_lines(0);
    cursor.Restart();
    interrupt.WaitFor(std::min(kPause, deadline - now));
  }
}

ExitCode RunLogs(Context& context, LogsOptions options) {
  absl::StatusOr<std::vector<int>> ranks = ParseRanks(options.ranks);
  if (!ranks.ok()) {
    return context.Fail(ExitCode::kUsage, {std::string(ranks.status().message()), "--rank", ""});
  }
  for (int rank : *ranks) options.request.add_ranks(rank);
  Api& api = context.api();
  Interrupt interrupt([&api] { api.Cancel(); });
  absl::StatusOr<v1::Job> job = api.GetJob(options.request.job());
  if (!job.ok()) return context.FailCall(job.status(), options.request.job());
  options.request.set_job(job->name());
  Prefix prefix;
  prefix.rank = ranks->size() != 1 && job->spec().ranks().max() > 1;
  prefix.generation = options.request.generation() == 0 && job->status().generation() > 1;
  return StreamLogs(context, interrupt, options, prefix);
}

}  // namespace

void AddLogs(CLI::App& app, Context& context, ExitCode& exit) {
  auto options = std::make_shared<LogsOptions>();
  CLI::App* command = app.add_subcommand("logs", "Prints what the ranks of a job wrote");
  command
      ->add_option_function<std::string>(
          "JOB", [options](const std::string& job) { options->request.set_job(job); }, "Job")
      ->required();
  command->add_flag_callback(
      "-f,--follow", [options] { options->request.set_follow(true); }, "Go on until the job ends");
  command->add_option("--rank", options->ranks, "Ranks to print, such as 0,3-5 [all]")
      ->type_name("RANKS");
  command
      ->add_option_function<int>(
          "--tail", [options](int lines) { options->request.set_tail_lines(lines); },
          "Last lines of every rank only")
      ->check(CLI::Range(1, 1'000'000))
      ->type_name("N");
  command
      ->add_option_function<int64_t>(
          "--generation",
          [options](int64_t generation) { options->request.set_generation(generation); },
          "Only this attempt [all]")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 40))
      ->type_name("N");
  command->add_flag("--timestamps", options->timestamps, "Time before every line, where known");
  AddDuration(*command, "--timeout", &options->timeout, "Leave with code 124 after this long");
  command->footer(
      "Lines carry [rRANK gGENERATION] where they can differ in it. Ctrl-C leaves; the job goes\n"
      "on.\n\n"
      "Examples:\n"
      "  ijepactl logs demo-1\n"
      "  ijepactl logs demo-1 -f --rank 0\n"
      "  ijepactl logs demo-1 --rank 0,1 --tail 100 --generation 1");
  command->callback([options, &context, &exit] { exit = RunLogs(context, *options); });
}

}  // namespace ijepa::client
