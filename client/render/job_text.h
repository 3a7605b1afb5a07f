// Texts and sections about a job, shared by the commands that show one. Pure but for the zone.
#ifndef IJEPA_CLIENT_RENDER_JOB_TEXT_H_
#define IJEPA_CLIENT_RENDER_JOB_TEXT_H_

#include <string>

#include "absl/time/time.h"
#include "client/render/plot.h"
#include "client/render/terminal.h"
#include "ijepa/v1/job.pb.h"

namespace ijepa::client {

// The last part of a resource name: projects/p/jobs/demo-1 -> demo-1.
std::string ShortName(const std::string& resource_name);

// JOB_STATE_RUNNING -> RUNNING.
std::string StateName(v1::JobState state);
Tone StateTone(v1::JobState state);
bool IsTerminal(v1::JobState state);

// "2", or "1-4" for an elastic job.
std::string RanksText(const v1::RankRange& ranks);

// Share of the steps that are done, within [0, 1]; 0 while the number of steps is unknown.
double ProgressShare(const v1::StepReport& progress);

// Time to the last step at the present speed; negative when it cannot be told yet.
absl::Duration TimeLeft(const v1::StepReport& progress);

// "loss 0.1234  lr 0.001  wd 0.05  ema 0.9912  412 images/s  ..." of the newest step.
std::string FiguresText(const v1::StepReport& progress);

// "effective rank 41.2/192  std 0.72  ..." of the newest measurement; empty before the first.
std::string HealthText(const v1::StepReport& progress);

// Loss over steps as plot lines; none before there are two points.
std::vector<std::string> LossCurve(const v1::JobStatus& status, CurveSize size, bool utf8);

// Table of attempts: where each ran, how it ended, why, with the evidence. Empty without attempts.
std::string AttemptsSection(const v1::JobStatus& status, absl::Time now, const Terminal& terminal);

// What the run learnt: every probe at random initialisation and now, with its gain, and the
// effective rank. Empty without probes.
std::string ProbesSection(const v1::JobStatus& status, const Terminal& terminal);

// Every probe at every step it was taken. Empty with fewer than two steps.
std::string ProbeCurveSection(const v1::JobStatus& status, const Terminal& terminal);

// "CODE: message", or what there is of it, on one line.
std::string ReasonText(const v1::Reason& reason);

// The event's message on one line, and how many events it stands for where others were merged into
// it.
std::string EventText(const v1::Event& event);

// Newest last, at most `limit` lines (0: all): the newest of each code, so that nothing rare is
// missed, and besides them the newest.
std::string EventsSection(const v1::JobStatus& status, int limit, const Terminal& terminal);

}  // namespace ijepa::client

#endif  // IJEPA_CLIENT_RENDER_JOB_TEXT_H_
