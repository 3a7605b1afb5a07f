// See desired.h.
#include "coordinator/core/desired.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "coordinator/core/allocations.h"

namespace ijepa::coordinator {
namespace {

// As Drain.reason lists them; null: its ranks go on.
const char* DrainReason(const Job& job) {
  if (job.state() == v1::JOB_STATE_CANCELLING) return "CANCEL";
  if (job.state() == v1::JOB_STATE_PAUSING) return "PAUSE";
  if (!job.gang->draining) return nullptr;
  switch (job.gang->cause) {
    case StopCause::kGrow:
      return "GROW";
    case StopCause::kPreempt:
      return "PREEMPT";
    case StopCause::kTimeLimit:
      return "TIMEOUT";
    case StopCause::kMaintenance:
      return "MAINTENANCE";
    case StopCause::kNode:
    case StopCause::kBackend:
      break;  // Its worker drains it.
  }
  return nullptr;
}

}  // namespace

v1::DesiredState DesiredFor(const State& state, const std::string& name, const Node& node) {
  v1::DesiredState desired;
  if (const std::optional<int> code = ExitCodeFor(state, node.info)) {
    desired.set_allocation_over(true);
    desired.set_exit_code(*code);
  }
  for (const std::string& id : node.jobs) {
    const Job& job = state.jobs.at(id);
    const Gang& gang = *job.gang;
    if (gang.clearing) continue;
    v1::DesiredGang& wanted = *desired.add_gangs();
    wanted.set_job_uid(job.proto.uid());
    wanted.set_generation(gang.generation);
    for (const int rank : RanksOn(gang, name)) wanted.add_ranks(rank);
    *wanted.mutable_launch() = gang.launch;
    wanted.set_collect_stacks(gang.collecting);
    if (const char* reason = DrainReason(job); reason != nullptr) {
      *wanted.mutable_drain()->mutable_deadline() = ToProto(job.drain_deadline);
      wanted.mutable_drain()->set_reason(reason);
    }
  }
  return desired;
}

namespace {

// Rank-hours per failure while a job has none of its own: 1,024 GPUs fail every 7.9 hours (Kokolis
// et al., "Revisiting Reliability in Large-Scale Machine Learning Research Clusters", 2024).
constexpr double kPresumedRankHours = 8000;

// From the job's own history, the presumption counting as one failure more.
double HoursBetweenFailures(const Job& job, int world_size) {
  double rank_hours = kPresumedRankHours;
  int failures = 1;
  for (const v1::Attempt& attempt : job.proto.status().attempts()) {
    if (!attempt.has_end_time()) continue;
    rank_hours += attempt.placements_size() * absl::ToDoubleHours(FromProto(attempt.end_time()) -
                                                                  FromProto(attempt.start_time()));
    failures += attempt.has_failure() ? 1 : 0;
  }
  return rank_hours / failures / world_size;
}

}  // namespace

v1::RankLaunch LaunchFor(const Job& job, int world_size, const CoreOptions& options) {
  const v1::JobSpec& spec = job.proto.spec();
  v1::RankLaunch launch;
  launch.set_job_uid(job.proto.uid());
  launch.set_job_name(job.proto.name());
  launch.set_generation(job.proto.status().generation());
  launch.set_world_size(world_size);
  *launch.mutable_spec() = spec;
  launch.set_checkpoint_folder(spec.logging().folder().empty()
                                   ? absl::StrCat(options.checkpoint_root, "/", job.id)
                                   : spec.logging().folder());
  for (auto it = job.checkpoints.rbegin(); it != job.checkpoints.rend(); ++it) {
    *launch.add_resume() = *it;
  }
  for (const v1::ProbeReport& probe : job.proto.status().probes()) {
    if (probe.step() == 0) launch.set_initial_probe_done(true);
    launch.set_last_probe_step(std::max(launch.last_probe_step(), probe.step()));
  }
  launch.set_hours_between_failures(HoursBetweenFailures(job, world_size));
  return launch;
}

}  // namespace ijepa::coordinator
