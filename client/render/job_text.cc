// See job_text.h.
#include "client/render/job_text.h"

#include <algorithm>
#include <map>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "client/render/format.h"
#include "client/render/table.h"

namespace ijepa::client {
namespace {

constexpr int kIndent = 2;

std::string NodesText(const v1::Attempt& attempt) {
  std::map<std::string, int> ranks;
  for (const auto& placement : attempt.placements()) ++ranks[placement.node()];
  return absl::StrJoin(ranks, ", ", [](std::string* out, const auto& node) {
    absl::StrAppend(out, node.first, " x", node.second);
  });
}

std::string FailureText(const v1::Failure& failure) {
  std::string text = failure.failure_class();
  if (failure.rank() >= 0) absl::StrAppend(&text, " rank ", failure.rank());
  if (!failure.node().empty()) absl::StrAppend(&text, " on ", failure.node());
  if (failure.signal() != 0) {
    absl::StrAppend(&text, ", signal ", failure.signal());
  } else if (failure.exit_code() != 0) {
    absl::StrAppend(&text, ", exit code ", failure.exit_code());
  }
  if (!failure.xids().empty()) {
    absl::StrAppend(&text, ", Xid ", absl::StrJoin(failure.xids(), ", "));
  }
  if (!failure.message().empty()) absl::StrAppend(&text, ": ", failure.message());
  return text;
}

Tone OutcomeTone(const std::string& outcome) {
  if (outcome == "COMPLETED") return Tone::kGood;
  if (outcome == "FAILED") return Tone::kBad;
  return Tone::kPlain;
}

std::string ScoreText(const v1::ProbeScore& score) {
  return absl::StrFormat("%.1f %% [%.1f, %.1f]", score.accuracy() * 100, score.low() * 100,
                         score.high() * 100);
}

const v1::ProbeScore* FindScore(const v1::ProbeReport& report, const v1::ProbeScore& like) {
  for (const auto& score : report.scores()) {
    if (score.target() == like.target() && score.method() == like.method()) return &score;
  }
  return nullptr;
}

// The row of one probe: `before` is absent or the random initialisation's, `now` the newest.
std::vector<Cell> ProbeRow(const v1::ProbeScore* before, const v1::ProbeScore& now) {
  std::vector<Cell> row = {now.target(), now.method(), FormatCount(now.classes()),
                           FormatCount(now.images())};
  row.emplace_back(before == nullptr ? "-" : ScoreText(*before));
  row.emplace_back(ScoreText(now));
  if (before == nullptr) {
    row.insert(row.end(), {"-", "-"});
    return row;
  }
  double gain = now.accuracy() - before->accuracy();
  bool disjoint = now.low() > before->high() || now.high() < before->low();
  Tone tone = !disjoint ? Tone::kPlain : (gain > 0 ? Tone::kGood : Tone::kBad);
  row.emplace_back(absl::StrFormat("%+.1f", gain * 100), tone);
  row.emplace_back(disjoint ? "yes" : "no", tone);
  return row;
}

// At most `limit` indexes, ascending: of each code its newest event, then the newest.
std::set<int> ShownEvents(const v1::JobStatus& status, size_t limit) {
  std::set<std::string> codes;
  std::set<int> shown;
  for (int i = status.events_size() - 1; i >= 0 && shown.size() < limit; --i) {
    if (codes.insert(status.events(i).code()).second) shown.insert(i);
  }
  for (int i = status.events_size() - 1; i >= 0 && shown.size() < limit; --i) shown.insert(i);
  return shown;
}

}  // namespace

std::string ShortName(const std::string& resource_name) {
  return resource_name.substr(resource_name.rfind('/') + 1);
}

std::string StateName(v1::JobState state) {
  constexpr absl::string_view kPrefix = "JOB_STATE_";
  const std::string& name = v1::JobState_Name(state);
  return name.size() > kPrefix.size() ? name.substr(kPrefix.size()) : absl::StrCat(state);
}

Tone StateTone(v1::JobState state) {
  switch (state) {
    case v1::JOB_STATE_SUCCEEDED:
    case v1::JOB_STATE_RUNNING:
      return Tone::kGood;
    case v1::JOB_STATE_FAILED:
      return Tone::kBad;
    case v1::JOB_STATE_RECOVERING:
    case v1::JOB_STATE_CANCELLING:
    case v1::JOB_STATE_PAUSING:
    case v1::JOB_STATE_CANCELLED:
      return Tone::kWarn;
    default:
      return Tone::kPlain;
  }
}

bool IsTerminal(v1::JobState state) {
  return state == v1::JOB_STATE_SUCCEEDED || state == v1::JOB_STATE_FAILED ||
         state == v1::JOB_STATE_CANCELLED;
}

std::string RanksText(const v1::RankRange& ranks) {
  if (ranks.min() == ranks.max()) return absl::StrCat(ranks.max());
  return absl::StrCat(ranks.min(), "-", ranks.max());
}

double ProgressShare(const v1::StepReport& progress) {
  if (progress.total_steps() <= 0) return 0;
  return std::clamp(static_cast<double>(progress.step()) / progress.total_steps(), 0.0, 1.0);
}

absl::Duration TimeLeft(const v1::StepReport& progress) {
  if (progress.step() <= 0 || progress.images_per_second() <= 0) return absl::Seconds(-1);
  double images_per_step = static_cast<double>(progress.images_seen()) / progress.step();
  double steps = std::max<int64_t>(0, progress.total_steps() - progress.step());
  return absl::Seconds(steps * images_per_step / progress.images_per_second());
}

std::string FiguresText(const v1::StepReport& progress) {
  std::string text =
      absl::StrFormat("loss %s  lr %s  wd %s  ema %.5g  %s images/s", FormatNumber(progress.loss()),
                      FormatNumber(progress.lr()), FormatNumber(progress.weight_decay()),
                      progress.ema_momentum(), FormatNumber(progress.images_per_second()));
  if (progress.context_patches() > 0) {
    absl::StrAppend(&text, "  masks ", progress.context_patches(), "/", progress.target_patches());
  }
  if (progress.data_wait_share() >= 0.01) {
    absl::StrAppend(&text, "  data wait ", FormatPercent(progress.data_wait_share()));
  }
  if (progress.bad_images() > 0) {
    absl::StrAppend(&text, "  bad images ", FormatCount(progress.bad_images()));
  }
  return text;
}

std::string HealthText(const v1::StepReport& progress) {
  std::string text;
  if (progress.has_telemetry()) {
    const v1::Telemetry& health = progress.telemetry();
    text = absl::StrFormat("effective rank %s/%d  std %s  cosine %.3f  grad norm %s",
                           FormatNumber(health.effective_rank()), health.max_effective_rank(),
                           FormatNumber(health.std_mean()), health.prediction_cosine(),
                           FormatNumber(progress.gradient_norm()));
    if (health.collapse_suspected()) absl::StrAppend(&text, "  COLLAPSE SUSPECTED");
  }
  if (progress.non_finite_steps() > 0) {
    absl::StrAppend(&text, text.empty() ? "" : "  ", "non-finite steps ",
                    FormatCount(progress.non_finite_steps()));
  }
  return text;
}

std::vector<std::string> LossCurve(const v1::JobStatus& status, CurveSize size, bool utf8) {
  std::vector<Point> points;
  for (const auto& report : status.curve()) {
    points.push_back({static_cast<double>(report.step()), report.loss()});
  }
  return Curve(points, size, utf8);
}

std::string AttemptsSection(const v1::JobStatus& status, absl::Time now, const Terminal& terminal) {
  if (status.attempts().empty()) return "";
  Table table({{"GENERATION", Align::kRight},
               {"OUTCOME"},
               {"STEPS", Align::kRight},
               {"DURATION", Align::kRight},
               {"NODES"},
               {"CAUSE"}});
  std::string evidence;
  for (const v1::Attempt& attempt : status.attempts()) {
    absl::Time end = IsSet(attempt.end_time()) ? ToTime(attempt.end_time()) : now;
    table.AddRow({absl::StrCat(attempt.generation()),
                  {attempt.outcome(), OutcomeTone(attempt.outcome())},
                  absl::StrCat(attempt.first_step(), "-", attempt.last_step()),
                  DurationText(end - ToTime(attempt.start_time())),
                  NodesText(attempt),
                  attempt.has_failure() ? FailureText(attempt.failure()) : "-"});
    if (!attempt.failure().stack_ranks().empty()) {
      absl::StrAppend(
          &evidence, "  stacks of ranks ", absl::StrJoin(attempt.failure().stack_ranks(), ", "),
          " before they were killed: ijepactl logs JOB --generation ", attempt.generation(), "\n");
    }
    for (const v1::GpuErrors& errors : attempt.gpu_errors()) {
      absl::StrAppend(&evidence, "  generation ", attempt.generation(), ", rank ", errors.rank(),
                      " on ", errors.node(), ": its GPU reported Xid ",
                      absl::StrJoin(errors.xids(), ", "), "\n");
    }
    if (attempt.failure().log_tail().empty()) continue;
    absl::StrAppend(&evidence, "  last lines of generation ", attempt.generation(), ":\n");
    for (const std::string& line : attempt.failure().log_tail()) {
      absl::StrAppend(&evidence, "    ", Printable(line), "\n");
    }
  }
  return absl::StrCat(table.Render(terminal, kIndent), evidence);
}

std::string ProbesSection(const v1::JobStatus& status, const Terminal& terminal) {
  if (status.probes().empty()) return "";
  const v1::ProbeReport& latest = status.probes(status.probes_size() - 1);
  const v1::ProbeReport* initial = status.probes(0).step() == 0 ? &status.probes(0) : nullptr;
  Table table({{"LABEL"},
               {"PROBE"},
               {"CLASSES", Align::kRight},
               {"IMAGES", Align::kRight},
               {"RANDOM INIT", Align::kRight},
               {absl::StrCat("STEP ", latest.step()), Align::kRight},
               {"GAIN", Align::kRight},
               {"DISJOINT"}});
  for (const v1::ProbeScore& score : latest.scores()) {
    table.AddRow(ProbeRow(
        initial == nullptr || initial == &latest ? nullptr : FindScore(*initial, score), score));
  }
  std::string rank = initial == nullptr || initial == &latest
                         ? FormatNumber(latest.effective_rank())
                         : absl::StrCat(FormatNumber(initial->effective_rank()), " -> ",
                                        FormatNumber(latest.effective_rank()));
  return absl::StrCat(table.Render(terminal, kIndent), "  effective rank ", rank,
                      "; accuracy with 95 % interval\n");
}

std::string ProbeCurveSection(const v1::JobStatus& status, const Terminal& terminal) {
  if (status.probes_size() < 2) return "";
  const auto& scores = status.probes(status.probes_size() - 1).scores();
  std::vector<Column> columns = {{"STEP", Align::kRight}, {"IMAGES", Align::kRight}};
  for (const v1::ProbeScore& score : scores) {
    columns.push_back({absl::StrCat(score.target(), " ", score.method()), Align::kRight});
  }
  columns.push_back({"EFF. RANK", Align::kRight});
  Table table(std::move(columns));
  for (const v1::ProbeReport& report : status.probes()) {
    std::vector<Cell> row = {FormatCount(report.step()), FormatCount(report.images_seen())};
    for (const v1::ProbeScore& like : scores) {
      const v1::ProbeScore* score = FindScore(report, like);
      row.emplace_back(score == nullptr ? "-" : FormatPercent(score->accuracy()));
    }
    row.emplace_back(FormatNumber(report.effective_rank()));
    table.AddRow(std::move(row));
  }
  return table.Render(terminal, kIndent);
}

std::string ReasonText(const v1::Reason& reason) {
  const bool both = !reason.code().empty() && !reason.message().empty();
  return Printable(absl::StrCat(reason.code(), both ? ": " : "", reason.message()));
}

std::string EventText(const v1::Event& event) {
  const std::string message = Printable(event.message());
  if (event.count() < 2) return message;
  return absl::StrCat(message, message.empty() ? "(" : " (", event.count(), " times since ",
                      FormatClock(event.first_time(), absl::LocalTimeZone()), ")");
}

std::string EventsSection(const v1::JobStatus& status, int limit, const Terminal& terminal) {
  if (status.events().empty()) return "";
  Table table({{"TIME"}, {"GENERATION", Align::kRight}, {"EVENT"}, {"MESSAGE"}});
  const int rows = limit > 0 ? limit : status.events_size();
  for (const int i : ShownEvents(status, static_cast<size_t>(rows))) {
    const v1::Event& event = status.events(i);
    table.AddRow({FormatClock(event.time(), absl::LocalTimeZone()),
                  absl::StrCat(event.generation()), event.code(), EventText(event)});
  }
  return table.Render(terminal, kIndent);
}

}  // namespace ijepa::client
