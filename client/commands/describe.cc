// ijepactl describe: all that is known about one job.
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/commands/commands.h"
#include "client/render/format.h"
#include "client/render/job_text.h"
#include "client/render/sections.h"
#include "client/render/spec_diff.h"

namespace ijepa::client {
namespace {

constexpr int kLongestCurve = 72;
constexpr int kCurveMargin = 14;

struct DescribeOptions {
  std::string job;
  int events = 30;
};

std::string Line(const char* key, const std::string& value) {
  return value.empty() ? "" : absl::StrFormat("%-12s%s\n", key, value);
}

std::string WhenText(absl::Time now, const google::protobuf::Timestamp& time) {
  if (!IsSet(time)) return "";
  return absl::StrCat(FormatAge(now, time), " (",
                      absl::FormatTime("%Y-%m-%d %H:%M:%S", ToTime(time), absl::LocalTimeZone()),
                      ")");
}

std::string Header(const v1::Job& job, absl::Time now, const Terminal& terminal) {
  const v1::JobSpec& spec = job.spec();
  const v1::JobStatus& status = job.status();
  std::string text = absl::StrCat(
      Line("Job", ShortName(job.name())), Line("Uid", job.uid()),
      Line("State", terminal.Paint(StateTone(status.state()), StateName(status.state()))),
      Line("Reason", ReasonText(status.reason())),
      Line("Submitted", WhenText(now, status.submit_time())),
      Line("Started", WhenText(now, status.start_time())),
      Line("Ended", WhenText(now, status.end_time())));
  absl::StrAppend(&text,
                  Line("Ranks", absl::StrCat(RanksText(spec.ranks()), " (", spec.shards(),
                                             " shards of ", spec.data().batch_size(), ")")),
                  Line("Restarts", absl::StrCat(status.restarts(), " of ", spec.max_restarts())),
                  Line("Model", spec.meta().model_name()), Line("Data", spec.data().path()),
                  Line("Eval", spec.eval().path()));
  return text;
}

std::string Progress(const v1::JobStatus& status, const Terminal& terminal) {
  const v1::StepReport& progress = status.progress();
  if (progress.total_steps() == 0) return "";
  absl::Duration left = TimeLeft(progress);
  std::string eta;
  if (!IsTerminal(status.state()) && left >= absl::ZeroDuration()) {
    eta = absl::StrCat("  ETA ", DurationText(left));
  }
  double share = ProgressShare(progress);
  std::string text = absl::StrCat(
      "  ", Bar(share, 32, terminal.utf8), " ", FormatPercent(share), "  step ",
      FormatCount(progress.step()), "/", FormatCount(progress.total_steps()), "  ",
      FormatCount(progress.images_seen()), " images", eta, "\n  ", FiguresText(progress), "\n");
  const std::string health = HealthText(progress);
  if (!health.empty()) {
    const bool bad = progress.telemetry().collapse_suspected();
    absl::StrAppend(&text, "  ", bad ? terminal.Paint(Tone::kBad, health) : health, "\n");
  }
  for (const v1::SlowRank& slow : status.slow_ranks()) {
    const std::string line =
        absl::StrFormat("slow: rank %d on %s, %.2f times the median rank's work per step",
                        slow.rank(), slow.node(), slow.ratio());
    absl::StrAppend(&text, "  ", terminal.Paint(Tone::kWarn, line), "\n");
  }
  return text;
}

std::string Loss(const v1::JobStatus& status, const Terminal& terminal) {
  CurveSize size;
  size.width =
      terminal.width > 0 ? std::min(kLongestCurve, terminal.width - kCurveMargin) : kLongestCurve;
  std::string text;
  for (const std::string& line : LossCurve(status, size, terminal.utf8)) {
    absl::StrAppend(&text, "  ", line, "\n");
  }
  return text;
}

void AppendSection(const char* title, const std::string& body, const Terminal& terminal,
                   std::string* text) {
  if (body.empty()) return;
  absl::StrAppend(text, "\n", terminal.Paint(Tone::kBold, title), "\n", body);
}

ExitCode RunDescribe(Context& context, const DescribeOptions& options) {
  absl::StatusOr<v1::Job> job = context.api().GetJob(options.job);
  if (!job.ok()) return context.FailCall(job.status(), options.job);
  if (context.output != OutputFormat::kTable) return context.PrintMessage(*job);
  absl::StatusOr<v1::ListCheckpointsResponse> checkpoints =
      context.api().ListCheckpoints(job->name());
  const Terminal& terminal = context.out();
  const v1::JobStatus& status = job->status();
  absl::Time now = context.clock().Now();
  std::string text = Header(*job, now, terminal);
  AppendSection("Progress", Progress(status, terminal), terminal, &text);
  AppendSection("Loss", Loss(status, terminal), terminal, &text);
  AppendSection("Attempts", AttemptsSection(status, now, terminal), terminal, &text);
  AppendSection("Probes", ProbesSection(status, terminal), terminal, &text);
  AppendSection("Probes over time", ProbeCurveSection(status, terminal), terminal, &text);
  if (checkpoints.ok() && !checkpoints->checkpoints().empty()) {
    AppendSection("Checkpoints", CheckpointTable(*checkpoints, now).Render(terminal, 2), terminal,
                  &text);
  }
  Table differences = SpecDifferences(job->spec());
  AppendSection("Spec, where it is not the default",
                differences.empty() ? "" : differences.Render(terminal, 2), terminal, &text);
  AppendSection("Events", EventsSection(status, options.events, terminal), terminal, &text);
  context.Print(text);
  if (!checkpoints.ok()) return context.FailCall(checkpoints.status(), "checkpoints");
  return ExitCode::kOk;
}

}  // namespace

void AddDescribe(CLI::App& app, Context& context, ExitCode& exit) {
  auto options = std::make_shared<DescribeOptions>();
  CLI::App* command = app.add_subcommand(
      "describe", "Shows a job: state and why, progress, attempts, probes, checkpoints, events");
  command->add_option("JOB", options->job, "Job to show")->required();
  command
      ->add_option("--events", options->events,
                   "Events to show, the newest and the last of each code; 0 for all [30]")
      ->check(CLI::Range(0, 1000))
      ->type_name("N");
  command->footer(
      "Examples:\n"
      "  ijepactl describe demo-1\n"
      "  ijepactl describe demo-1 --events 0\n"
      "  ijepactl describe demo-1 -o yaml");
  command->callback([options, &context, &exit] { exit = RunDescribe(context, *options); });
}

}  // namespace ijepa::client
