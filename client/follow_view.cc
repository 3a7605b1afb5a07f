// See follow_view.h.
#include "client/follow_view.h"

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/render/format.h"
#include "client/render/job_text.h"
#include "client/render/plot.h"

namespace ijepa::client {
namespace {

constexpr int kFirstEvents = 3;
constexpr int kBarWidth = 32;
constexpr int kCurveHeight = 8;
constexpr int kLongestCurve = 72;
// Columns that the label of the curve's axis may take.
constexpr int kCurveMargin = 14;
constexpr absl::Duration kRedraw = absl::Milliseconds(100);

std::string LeftText(const v1::StepReport& progress) {
  absl::Duration left = TimeLeft(progress);
  return left < absl::ZeroDuration() ? "-" : DurationText(left);
}

std::string StepText(const v1::StepReport& progress) {
  std::string text = absl::StrFormat("step %s/%s", FormatCount(progress.step()),
                                     FormatCount(progress.total_steps()));
  if (progress.steps_per_epoch() > 0) {
    absl::StrAppend(&text, absl::StrFormat("  epoch %.2f", static_cast<double>(progress.step()) /
                                                               progress.steps_per_epoch()));
  }
  return text;
}

// Finds what is new since the last update: events and changes of state or reason, each as a line.
class News {
 public:
  std::vector<std::string> Since(const v1::Job& job, absl::Time now) {
    const v1::JobStatus& status = job.status();
    std::vector<std::string> lines;
    int first = first_ ? std::max(0, status.events_size() - kFirstEvents) : 0;
    for (int i = first; i < status.events_size(); ++i) {
      const v1::Event& event = status.events(i);
      if (event.sequence() <= sequence_) continue;
      const std::string text = EventText(event);
      lines.push_back(absl::StrCat(FormatClock(event.time(), absl::LocalTimeZone()), " ",
                                   event.code(), text.empty() ? "" : ": ", text));
    }
    for (const v1::Event& event : status.events()) {
      sequence_ = std::max(sequence_, event.sequence());
    }
    std::string state = absl::StrCat(StateName(status.state()), "  ", ReasonText(status.reason()));
    if (state != state_) {
      state_ = state;
      state.erase(state.find_last_not_of(' ') + 1);
      lines.push_back(absl::StrCat(FormatClock(ToTimestamp(now), absl::LocalTimeZone()), " ",
                                   ShortName(job.name()), " ", state));
    }
    first_ = false;
    return lines;
  }

 private:
  bool first_ = true;
  int64_t sequence_ = 0;
  std::string state_;
};

class LiveView : public FollowView {
 public:
  LiveView(const Terminal& terminal, Writer write)
      : terminal_(terminal), write_(std::move(write)) {}

  void Update(const v1::Job& job, absl::Time now) override {
    std::vector<std::string> news = news_.Since(job, now);
    if (news.empty() && now - drawn_ < kRedraw && now >= drawn_) return;
    drawn_ = now;
    std::string text = Erase();
    for (const std::string& line : news) absl::StrAppend(&text, line, "\n");
    std::vector<std::string> block = Block(job, now);
    for (std::string& line : block) {
      absl::StrAppend(&text, Truncate(line, terminal_.width - 1, terminal_.utf8), "\n");
    }
    lines_ = static_cast<int>(block.size());
    write_(text);
  }

  void Finish(const v1::Job& job, absl::Time now) override {
    drawn_ = absl::InfinitePast();
    Update(job, now);
    if (IsTerminal(job.status().state())) write_(EndSummary(job, now, terminal_));
  }

 private:
  std::string Erase() const { return lines_ == 0 ? "" : absl::StrCat("\x1b[", lines_, "A\x1b[0J"); }

  std::vector<std::string> Block(const v1::Job& job, absl::Time now) const {
    const v1::JobStatus& status = job.status();
    const v1::StepReport& progress = status.progress();
    std::vector<std::string> lines;
    std::string head = absl::StrCat(ShortName(job.name()), "  ", StateName(status.state()), "  ",
                                    RanksText(job.spec().ranks()), " ranks");
    if (status.generation() > 0) absl::StrAppend(&head, "  generation ", status.generation());
    if (status.restarts() > 0) absl::StrAppend(&head, "  restarts ", status.restarts());
    if (IsSet(status.start_time())) {
      absl::StrAppend(&head, "  started ", FormatAge(now, status.start_time()));
    }
    lines.push_back(std::move(head));
    if (progress.total_steps() == 0) {
      lines.push_back(ReasonText(status.reason()));
      return lines;
    }
    double share = ProgressShare(progress);
    lines.push_back(absl::StrCat(Bar(share, kBarWidth, terminal_.utf8), " ", FormatPercent(share),
                                 "  ", StepText(progress), "  ETA ", LeftText(progress)));
    lines.push_back(FiguresText(progress));
    std::string health = HealthText(progress);
    if (!health.empty()) lines.push_back(std::move(health));
    CurveSize size;
    size.width = std::min(kLongestCurve, terminal_.width - kCurveMargin);
    size.height = kCurveHeight;
    for (const std::string& line : LossCurve(status, size, terminal_.utf8)) {
      lines.push_back(absl::StrCat("  ", line));
    }
    if (status.has_latest_checkpoint()) {
      lines.push_back(absl::StrCat("checkpoint at step ", status.latest_checkpoint().step(), ", ",
                                   FormatAge(now, status.latest_checkpoint().commit_time())));
    }
    return lines;
  }

  Terminal terminal_;
  Writer write_;
  News news_;
  absl::Time drawn_ = absl::InfinitePast();
  int lines_ = 0;
};

class LineView : public FollowView {
 public:
  LineView(const Terminal& terminal, absl::Duration interval, Writer write)
      : terminal_(terminal), interval_(interval), write_(std::move(write)) {}

  void Update(const v1::Job& job, absl::Time now) override {
    std::string text;
    for (const std::string& line : news_.Since(job, now)) absl::StrAppend(&text, line, "\n");
    if (now - shown_ >= interval_) absl::StrAppend(&text, Figures(job, now));
    if (!text.empty()) write_(text);
  }

  void Finish(const v1::Job& job, absl::Time now) override {
    write_(Figures(job, now));
    if (IsTerminal(job.status().state())) write_(EndSummary(job, now, terminal_));
  }

 private:
  // The line of figures, or nothing before the first step or when no step was made since the last.
  std::string Figures(const v1::Job& job, absl::Time now) {
    const v1::StepReport& progress = job.status().progress();
    if (progress.total_steps() == 0 || progress.step() == step_) return "";
    step_ = progress.step();
    shown_ = now;
    const std::string health = HealthText(progress);
    return absl::StrCat(FormatClock(ToTimestamp(now), absl::LocalTimeZone()), " ",
                        ShortName(job.name()), " ", StepText(progress), "  ",
                        FormatPercent(ProgressShare(progress)), "  ", FiguresText(progress),
                        health.empty() ? "" : "  ", health, "  ETA ", LeftText(progress), "\n");
  }

  Terminal terminal_;
  absl::Duration interval_;
  Writer write_;
  News news_;
  absl::Time shown_ = absl::InfinitePast();
  int64_t step_ = -1;
};

class MessageView : public FollowView {
 public:
  MessageView(OutputFormat format, Writer write) : format_(format), write_(std::move(write)) {}

  void Update(const v1::Job& job, absl::Time) override {
    absl::StatusOr<std::string> text = format_ == OutputFormat::kJson
                                           ? ToJson(job, /*compact=*/true)
                                           : ToText(job, OutputFormat::kYaml);
    if (!text.ok()) return;
    write_(format_ == OutputFormat::kYaml ? absl::StrCat("---\n", *text) : *text);
  }

  void Finish(const v1::Job&, absl::Time) override {}

 private:
  OutputFormat format_;
  Writer write_;
};

}  // namespace

std::string EndSummary(const v1::Job& job, absl::Time now, const Terminal& terminal) {
  const v1::JobStatus& status = job.status();
  absl::Time end = IsSet(status.end_time()) ? ToTime(status.end_time()) : now;
  std::string text =
      absl::StrCat("\n", ShortName(job.name()), " ",
                   terminal.Paint(StateTone(status.state()), StateName(status.state())));
  if (IsSet(status.start_time())) {
    absl::StrAppend(&text, " after ", DurationText(end - ToTime(status.start_time())));
  }
  absl::StrAppend(&text, ", ", FormatCount(status.progress().step()), " steps, ",
                  FormatCount(status.progress().images_seen()), " images, restarts ",
                  status.restarts(), "\n");
  if (status.state() != v1::JOB_STATE_SUCCEEDED && status.has_reason()) {
    absl::StrAppend(&text, "reason: ", ReasonText(status.reason()), "\n");
  }
  if (status.has_latest_checkpoint()) {
    const v1::Checkpoint& checkpoint = status.latest_checkpoint();
    absl::StrAppend(&text, "checkpoint: ", checkpoint.path(), " (step ", checkpoint.step(), ", ",
                    FormatBytes(checkpoint.bytes()), ")\n");
  }
  if (status.state() == v1::JOB_STATE_FAILED) {
    absl::StrAppend(&text, "attempts:\n", AttemptsSection(status, now, terminal));
  }
  std::string probes = ProbesSection(status, terminal);
  if (!probes.empty()) absl::StrAppend(&text, "what it learnt:\n", probes);
  return text;
}

std::unique_ptr<FollowView> NewLiveView(const Terminal& terminal, Writer write) {
  return std::make_unique<LiveView>(terminal, std::move(write));
}

std::unique_ptr<FollowView> NewLineView(const Terminal& terminal, absl::Duration interval,
                                        Writer write) {
  return std::make_unique<LineView>(terminal, interval, std::move(write));
}

std::unique_ptr<FollowView> NewMessageView(OutputFormat format, Writer write) {
  return std::make_unique<MessageView>(format, std::move(write));
}

}  // namespace ijepa::client
