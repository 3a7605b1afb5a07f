// See dependencies.h.
#include "coordinator/core/dependencies.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "coordinator/core/error_details.h"
#include "coordinator/core/lifecycle.h"
#include "coordinator/core/sealing.h"

namespace ijepa::coordinator {
namespace {

// Whether the end of a job ends the one that waits for it.
bool Fails(const v1::Dependency& dependency, v1::JobState end) {
  return end != v1::JOB_STATE_SUCCEEDED && dependency.on_failure() != v1::DEPENDENCY_FAILURE_IGNORE;
}

const v1::Dependency* DependencyOn(const Job& job, const std::string& id) {
  for (const v1::Dependency& dependency : job.proto.spec().depends_on()) {
    if (JobId(dependency.job()) == id) return &dependency;
  }
  return nullptr;
}

// `id` has ended; `job` waited for it.
void Settle(Turn& turn, Job& job, const std::string& id, v1::JobState end) {
  job.waiting_for.erase(id);
  const v1::Dependency* dependency = DependencyOn(job, id);
  if (dependency != nullptr && Fails(*dependency, end)) {
    const std::string why =
        absl::StrCat("job ", id, ", which it waits for, ended ", ShortName(end));
    turn.AddEvent(job, EventCode::kCancelled, why);
    turn.Move(job, v1::JOB_STATE_CANCELLED, MakeReason("DEPENDENCY_FAILED", why));
  } else if (job.state() == v1::JOB_STATE_BLOCKED && job.waiting_for.empty()) {
    turn.Move(job, v1::JOB_STATE_QUEUED, MakeReason("PENDING", "waits for the next placement"));
  }
}

}  // namespace

absl::StatusOr<std::set<std::string>> OpenDependencies(State& state, const v1::JobSpec& spec,
                                                       const std::string& project) {
  std::set<std::string> open;
  for (const v1::Dependency& dependency : spec.depends_on()) {
    const std::string name = WholeJobName(dependency.job(), project);
    const bool within = ProjectOf(name) == project;
    const Job* live = within ? FindJob(state, name) : nullptr;
    const v1::SealedJob* past = within ? FindLent(state, name) : nullptr;
    if (live == nullptr && past == nullptr) {
      return WithReason(absl::FailedPreconditionError(
                            absl::StrCat("depends_on names ", dependency.job(), ", and project ",
                                         project, " has no such job; remove it")),
                        "DEPENDENCY_MISSING", dependency.job());
    }
    const v1::JobState now = live != nullptr ? live->state() : past->job().status().state();
    if (!IsTerminal(now)) {
      open.insert(live->id);
    } else if (Fails(dependency, now)) {
      return WithReason(absl::FailedPreconditionError(absl::StrCat(
                            "depends_on names ", dependency.job(), ", which ended ", ShortName(now),
                            "; remove it, or write on_failure: ignore")),
                        "DEPENDENCY_FAILED", dependency.job());
    }
  }
  return open;
}

void WaitFor(State& state, Job& job, std::set<std::string> ids) {
  for (const std::string& id : ids) state.dependents[id].insert(job.id);
  job.waiting_for = std::move(ids);
}

void QueueOrBlock(Turn& turn, Job& job, v1::Reason reason) {
  if (job.waiting_for.empty()) {
    turn.Move(job, v1::JOB_STATE_QUEUED, std::move(reason));
    return;
  }
  turn.Move(job, v1::JOB_STATE_BLOCKED,
            MakeReason("WAITING_FOR_JOBS", absl::StrCat("waits for the end of ",
                                                        absl::StrJoin(job.waiting_for, ", "))));
}

void SettleDependents(Turn& turn) {
  State& state = turn.state;
  // Grows while it is walked.
  for (size_t i = 0; i < turn.ended.size(); ++i) {
    const std::string id = turn.ended[i];
    const auto waiting = state.dependents.extract(id);
    if (waiting.empty()) continue;
    const v1::JobState end = state.jobs.at(id).state();
    for (const std::string& dependent : waiting.mapped()) {
      const auto job = state.jobs.find(dependent);
      if (job != state.jobs.end() && !IsTerminal(job->second.state())) {
        Settle(turn, job->second, id, end);
      }
    }
  }
  turn.ended.clear();
}

void QueueUnblocked(Turn& turn) {
  std::vector<int64_t> blocked;
  turn.state.index.Find({{v1::JOB_STATE_BLOCKED}}, [&](int64_t number) {
    blocked.push_back(number);
    return true;
  });
  for (const int64_t number : blocked) {
    Job& job = turn.state.jobs.at(turn.state.ids_by_number.at(number));
    if (!job.waiting_for.empty()) continue;
    turn.Move(job, v1::JOB_STATE_QUEUED, MakeReason("PENDING", "waits for the next placement"));
  }
}

void RestoreDependencies(State& state) {
  for (auto& [id, job] : state.jobs) {
    if (job.state() != v1::JOB_STATE_BLOCKED && job.state() != v1::JOB_STATE_HELD) continue;
    std::set<std::string> open;
    for (const v1::Dependency& dependency : job.proto.spec().depends_on()) {
      const Job* other = FindJob(state, dependency.job());
      if (other != nullptr && !IsTerminal(other->state())) open.insert(other->id);
    }
    WaitFor(state, job, std::move(open));
  }
}

}  // namespace ijepa::coordinator
