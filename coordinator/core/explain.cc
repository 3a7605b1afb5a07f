// See explain.h.
#include "coordinator/core/explain.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "coordinator/core/allocation.h"
#include "coordinator/core/state.h"

namespace ijepa::coordinator {
namespace {

constexpr int kEvents = 5;

absl::Duration Never(const CoreOptions&) { return absl::InfiniteDuration(); }

constexpr StateRule kRules[] = {
    {v1::JOB_STATE_QUEUED,
     "the scheduler",
     Never,
     "it starts as soon as its whole gang fits; its reason says what is short",
     {"ijepactl nodes", "ijepactl hold JOB", "ijepactl cancel JOB", nullptr}},
    {v1::JOB_STATE_HELD,
     "you",
     Never,
     "nothing, until it is released",
     {"ijepactl release JOB", "ijepactl cancel JOB", nullptr}},
    {v1::JOB_STATE_BLOCKED,
     "the jobs of depends_on",
     Never,
     "it is queued when they have ended; cancelled if one fails that must not",
     {"ijepactl hold JOB", "ijepactl cancel JOB", nullptr}},
    {v1::JOB_STATE_STARTING,
     "its ranks",
     [](const CoreOptions& options) { return options.start_deadline; },
     "it runs once every rank has finished a step; ranks that do not start end the attempt",
     {"ijepactl logs -f JOB", "ijepactl cancel JOB", nullptr}},
    {v1::JOB_STATE_RUNNING,
     "its ranks",
     Never,
     "it ends with its last step; a rank that shows no progress ends the attempt",
     {"ijepactl watch JOB", "ijepactl pause JOB", "ijepactl cancel JOB", nullptr}},
    {v1::JOB_STATE_RECOVERING,
     "the nodes of the failed attempt",
     [](const CoreOptions& options) { return options.stacks_deadline + options.clear_deadline; },
     "it is queued again when its ranks are gone, or fails if its budget is spent",
     {"ijepactl logs JOB", "ijepactl describe JOB", nullptr}},
    {v1::JOB_STATE_CANCELLING,
     "its ranks",
     [](const CoreOptions& options) { return options.drain_deadline + options.clear_deadline; },
     "ranks save and stop; those that do not are killed",
     {"ijepactl watch JOB", nullptr}},
    {v1::JOB_STATE_PAUSING,
     "its ranks",
     [](const CoreOptions& options) { return options.drain_deadline + options.clear_deadline; },
     "ranks save and stop; those that do not are killed; then it is PAUSED",
     {"ijepactl watch JOB", "ijepactl cancel JOB", nullptr}},
    {v1::JOB_STATE_PAUSED,
     "you",
     Never,
     "nothing, until it is resumed",
     {"ijepactl resume JOB", "ijepactl fork JOB", "ijepactl cancel JOB", nullptr}},
};

// A queued job whose slots a backend gives.
void ExplainAllocation(const v1::Allocation& allocation, const std::string& id,
                       v1::JobExplanation& explanation) {
  const std::string& backend = allocation.backend();
  explanation.set_owner(backend);
  switch (allocation.phase()) {
    case v1::ALLOCATION_PHASE_GRANTED:
      explanation.set_next("it starts once the workers on its nodes have reached the coordinator");
      break;
    case v1::ALLOCATION_PHASE_RELEASED:
      explanation.set_next(absl::StrCat("it is asked for again when ", backend,
                                        " has taken back the slots of the last attempt"));
      break;
    default:
      explanation.set_next(absl::StrCat("it starts when ", backend, " gives it its slots"));
  }
  if (backend == "slurm" && !allocation.handle().empty()) {
    explanation.add_actions(absl::StrCat("scontrol show job ", allocation.handle()));
    explanation.add_actions(absl::StrCat("squeue --start --jobs=", allocation.handle()));
  }
  if (backend == "kubernetes" && !allocation.handle().empty()) {
    explanation.add_actions(
        absl::StrCat("kubectl describe job ", AllocationName(id, allocation.generation())));
  }
  explanation.add_actions(absl::StrCat("ijepactl hold ", id));
  explanation.add_actions(absl::StrCat("ijepactl cancel ", id));
}

}  // namespace

const StateRule* RuleOf(v1::JobState state) {
  const auto* found = std::find_if(std::begin(kRules), std::end(kRules),
                                   [&](const StateRule& rule) { return rule.state == state; });
  return found == std::end(kRules) ? nullptr : found;
}

v1::JobExplanation Explain(const v1::Job& job, const CoreOptions& options) {
  const v1::JobStatus& status = job.status();
  v1::JobExplanation explanation;
  explanation.set_state(status.state());
  if (status.has_state_time()) *explanation.mutable_state_time() = status.state_time();
  if (status.has_reason()) *explanation.mutable_reason() = status.reason();
  for (int i = std::max(0, status.events_size() - kEvents); i < status.events_size(); ++i) {
    *explanation.add_events() = status.events(i);
  }
  const std::string id = JobId(job.name());
  const StateRule* rule = RuleOf(status.state());
  if (rule == nullptr) {
    explanation.set_next("nothing: it has ended");
    explanation.add_actions("ijepactl describe " + id);
    explanation.add_actions("ijepactl fork " + id);
    return explanation;
  }
  if (status.has_allocation() && status.state() == v1::JOB_STATE_QUEUED) {
    ExplainAllocation(status.allocation(), id, explanation);
    return explanation;
  }
  explanation.set_owner(rule->owner);
  explanation.set_next(rule->next);
  if (rule->deadline(options) != absl::InfiniteDuration() && status.has_state_time()) {
    *explanation.mutable_deadline() =
        ToProto(FromProto(status.state_time()) + rule->deadline(options));
  }
  for (const char* const* action = rule->actions; *action != nullptr; ++action) {
    explanation.add_actions(absl::StrReplaceAll(*action, {{"JOB", id}}));
  }
  return explanation;
}

}  // namespace ijepa::coordinator
