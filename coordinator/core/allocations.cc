// See allocations.h.
#include "coordinator/core/allocations.h"

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "coordinator/core/gang.h"
#include "coordinator/core/lifecycle.h"
#include "coordinator/core/pending_reasons.h"
#include "coordinator/core/placing.h"
#include "coordinator/core/scheduler.h"

namespace ijepa::coordinator {
namespace {

constexpr absl::Duration kFirstRefusalDelay = absl::Seconds(10);
constexpr absl::Duration kLongestRefusalDelay = absl::Minutes(10);
// Jobs of a queue that are told why they are not asked for yet; the rest hears it later.
constexpr int kToldOfALine = 100;

constexpr char kWaitingForBackend[] = "WAITING_FOR_BACKEND";
constexpr char kBackendRefused[] = "BACKEND_REFUSED";

// "slurm 1234"; "slurm" while the handle is not known.
std::string HandleText(const v1::Allocation& allocation) {
  return allocation.handle().empty() ? allocation.backend()
                                     : absl::StrCat(allocation.backend(), " ", allocation.handle());
}

// "its words; our advice".
std::string WithAdvice(std::string words, const std::string& advice) {
  return advice.empty() ? words : absl::StrCat(words, "; ", advice);
}

v1::Reason BackendReason(absl::string_view code, std::string message, const std::string& backend) {
  v1::Reason reason = MakeReason(code, std::move(message));
  reason.set_resource(absl::StrCat("slots of ", backend));
  return reason;
}

v1::Reason WaitingFor(const v1::Allocation& allocation, const std::string& advice) {
  std::string words =
      allocation.phase() == v1::ALLOCATION_PHASE_REQUESTED && allocation.backend_state().empty()
          ? absl::StrCat(allocation.backend(), " is asked for ", SlotCount(allocation.ranks()))
      : allocation.phase() == v1::ALLOCATION_PHASE_GRANTED
          ? absl::StrCat(HandleText(allocation), " starts workers on its nodes")
          : absl::StrCat(HandleText(allocation), " has not started: ", allocation.backend_state());
  if (allocation.phase() != v1::ALLOCATION_PHASE_GRANTED && !allocation.backend_reason().empty()) {
    absl::StrAppend(&words, ", ", allocation.backend_reason());
  }
  return BackendReason(kWaitingForBackend, WithAdvice(std::move(words), advice),
                       allocation.backend());
}

void Ask(Turn& turn, Job& job, const OutsideJob& outside) {
  v1::JobStatus& status = *job.proto.mutable_status();
  // Also of an allocation that never becomes an attempt: what it is called is used once.
  status.set_generation(status.generation() + 1);
  v1::Allocation& allocation = *status.mutable_allocation();
  allocation.Clear();
  allocation.set_backend(outside.backend);
  allocation.set_generation(status.generation());
  SetPhase(allocation, v1::ALLOCATION_PHASE_REQUESTED);
  allocation.set_ranks(outside.ranks);
  *status.mutable_reason() = WaitingFor(allocation, "");
  turn.AddEvent(job, EventCode::kAllocationRequested,
                absl::StrCat(outside.backend, " is asked for ", SlotCount(outside.ranks), " as ",
                             AllocationName(job.id, allocation.generation())));
  turn.AnnounceAllocation(job);
}

// Asks for the jobs of one queue in order, until one does not fit its limit. `asked`: by backend,
// in this turn.
void AskForLine(Turn& turn, const std::string& queue, const OutsideJobs::Line& line,
                std::map<std::string, int64_t>& asked) {
  const int64_t most = MostOf(RulesOf(turn.options.scheduling, queue));
  int64_t used = turn.state.running.UsedBy(queue) + turn.state.outside.RanksAsked(queue);
  int told = 0;
  std::optional<v1::Reason> wait;
  for (const auto& [order, id] : line) {
    Job& job = turn.state.jobs.at(id);
    const OutsideJob& outside = *turn.state.outside.Find(id);
    const int64_t of_backend = turn.state.outside.AskedOf(outside.backend) + asked[outside.backend];
    if (!wait.has_value() && used + outside.ranks > most) {
      QueuedJob like = ViewJob(job, turn.options);
      wait = QuotaReason(like, used, most);
    } else if (!wait.has_value() && of_backend >= turn.options.max_allocations) {
      wait = BackendReason(kWaitingForBackend,
                           absl::StrCat(of_backend, " allocations of ", outside.backend,
                                        " are asked for, the limit; it is asked for next"),
                           outside.backend);
    }
    if (!wait.has_value()) {
      used += outside.ranks;
      ++asked[outside.backend];
      Ask(turn, job, outside);
      continue;
    }
    if (++told > kToldOfALine) break;
    v1::Reason& reason = *job.proto.mutable_status()->mutable_reason();
    if (reason.message() == wait->message()) continue;
    reason = *wait;
    MarkLive(turn.state, job);
  }
}

// The job that has this allocation; null if it is another's, or over.
Job* FindHolder(Turn& turn, const std::string& uid, int64_t generation) {
  const Job* found = FindJobByUid(turn.state, uid);
  if (found == nullptr || !found->proto.status().has_allocation()) return nullptr;
  if (found->proto.status().allocation().generation() != generation) return nullptr;
  return &turn.state.jobs.at(found->id);
}

void TakeHandle(Turn& turn, Job& job, const std::string& handle) {
  v1::Allocation& allocation = *job.proto.mutable_status()->mutable_allocation();
  if (handle.empty() || allocation.handle() == handle) return;
  allocation.set_handle(handle);
  turn.Touch(job);
  if (job.gang.has_value()) {
    job.attempt()->set_allocation(HandleText(allocation));
    turn.TouchAttempt(job);
  }
}

// The backend and the workers are told that the allocation is another, or no more.
void TellAll(Turn& turn, Job& job) {
  job.allocation_deadline = absl::InfiniteDuration();
  turn.AnnounceAllocation(job);
  turn.state.schedule_needed = true;
  const auto bound = turn.state.bound.find(job.proto.uid());
  if (bound != turn.state.bound.end()) {
    for (const std::string& node : bound->second) turn.TouchNode(node);
  }
  turn.Touch(job);
}

void Forget(Turn& turn, Job& job) {
  job.proto.mutable_status()->clear_allocation();
  TellAll(turn, job);
}

// It asks again after a while, the longer the more often it was refused.
void Refused(Turn& turn, Job& job, std::string message) {
  absl::Duration delay = kFirstRefusalDelay;
  for (int i = 0; i < job.refusals && delay < kLongestRefusalDelay; ++i) delay *= 2;
  delay = std::min(delay, kLongestRefusalDelay);
  ++job.refusals;
  job.not_before = turn.now.monotonic + delay;
  const std::string backend = job.proto.status().allocation().backend();
  absl::StrAppend(&message, "; it is asked again after ", absl::FormatDuration(delay));
  turn.AddEvent(job, EventCode::kAllocationRefused, message);
  *job.proto.mutable_status()->mutable_reason() =
      BackendReason(kBackendRefused, std::move(message), backend);
}

v1::Reason CancelledOutside(const v1::Allocation& allocation, const std::string& words) {
  return MakeReason(kCancelledOutside,
                    absl::StrCat(HandleText(allocation), " was cancelled there (", words,
                                 "); ijepactl resume goes on, ijepactl cancel ends the job"));
}

// What the end of the allocation says of an attempt that has not ended by itself; nothing: it was
// only stopped.
std::optional<v1::Evidence> EvidenceOf(const AllocationEnded& command) {
  v1::Evidence evidence;
  evidence.set_rank(-1);
  evidence.set_node(command.host);
  evidence.mutable_exit()->set_message(command.message);
  switch (command.end) {
    case AllocationEnd::kPreempted:
    case AllocationEnd::kCancelled:
      return std::nullopt;
    case AllocationEnd::kTimeLimit:
      evidence.set_kind(v1::EVIDENCE_KIND_ALLOCATION);
      return evidence;
    case AllocationEnd::kNodeFailed:
    case AllocationEnd::kVanished:
      evidence.set_kind(v1::EVIDENCE_KIND_NODE_LOST);
      return evidence;
    case AllocationEnd::kOutOfMemory:
      evidence.set_kind(v1::EVIDENCE_KIND_EXIT);
      evidence.mutable_exit()->set_status_code("RESOURCE_EXHAUSTED");
      evidence.mutable_exit()->set_message(absl::StrCat("out of memory: ", command.message));
      return evidence;
    case AllocationEnd::kCompleted:
    case AllocationEnd::kFailed:
    case AllocationEnd::kRefused:
      evidence.set_kind(v1::EVIDENCE_KIND_VANISHED);
      return evidence;
  }
  return evidence;
}

// The backend took the slots of a live attempt back.
void LoseGang(Turn& turn, Job& job, const AllocationEnded& command) {
  Gang& gang = *job.gang;
  const bool up = job.state() == v1::JOB_STATE_STARTING || job.state() == v1::JOB_STATE_RUNNING;
  std::optional<v1::Evidence> evidence = EvidenceOf(command);
  if (up && command.end == AllocationEnd::kCancelled) {
    turn.Move(job, v1::JOB_STATE_PAUSING,
              CancelledOutside(job.proto.status().allocation(), command.message));
  }
  // Whoever drained it, or let it go, knew before.
  if (evidence.has_value() && SignsCount(job) && !gang.draining) {
    AddEvidence(turn, job, *std::move(evidence));
  }
  if (!gang.draining) gang.cause = StopCause::kBackend;
  // With evidence it is cleared when it is judged.
  if (!job.evidence.has_value()) ClearGang(turn, job);
  for (RankState& rank : gang.ranks) {
    const auto node = turn.state.nodes.find(rank.node);
    const bool silent = node == turn.state.nodes.end() || node->second.stream == 0;
    // A machine that failed may have processes that nobody could kill: its silence is judged.
    rank.gone = rank.gone || (silent && command.end != AllocationEnd::kNodeFailed &&
                              command.end != AllocationEnd::kVanished);
  }
}

}  // namespace

std::string BackendOf(const Job& job, const SchedulingRules& rules) {
  return RulesOf(rules, QueueOf(job)).backend;
}

std::optional<OutsideJob> ViewOutside(const Job& job, const CoreOptions& options) {
  const v1::JobStatus& status = job.proto.status();
  OutsideJob view;
  view.backend = BackendOf(job, options.scheduling);
  view.asked = status.has_allocation();
  if (view.backend == kOwnBackend && !view.asked) return std::nullopt;
  if (view.asked) view.backend = status.allocation().backend();
  const QueuedJob queued = ViewJob(job, options);
  view.id = job.id;
  view.queue = queued.queue;
  view.class_value = queued.class_value;
  view.priority = queued.priority;
  view.number = job.number;
  view.recovering = queued.recovering;
  view.ranks = queued.sizes.front();
  view.not_before = job.not_before;
  view.deadline = job.allocation_deadline;
  return view;
}

std::optional<v1::Reason> NeverAsked(const OutsideJob& job, const SchedulingRules& rules) {
  const int64_t most = MostOf(RulesOf(rules, job.queue));
  if (job.ranks <= most) return std::nullopt;
  v1::Reason reason =
      MakeReason(kTooLarge, absl::StrCat("needs ", SlotCount(job.ranks), "; queue ", job.queue,
                                         " never uses more than ", most));
  reason.set_resource(absl::StrCat("quota of queue ", job.queue));
  reason.set_short_by(job.ranks - most);
  return reason;
}

void AskBackends(Turn& turn) {
  turn.state.outside.Wake(turn.now.monotonic);
  // Asking changes the lines only once the turn ends.
  std::map<std::string, int64_t> asked;
  for (const auto& [queue, line] : turn.state.outside.lines()) AskForLine(turn, queue, line, asked);
}

void HandleAllocationWaits(Turn& turn, const AllocationWaits& command) {
  Job* job = FindHolder(turn, command.uid, command.generation);
  if (job == nullptr) return;
  TakeHandle(turn, *job, command.handle);
  v1::Allocation& allocation = *job->proto.mutable_status()->mutable_allocation();
  if (job->gang.has_value() || job->state() != v1::JOB_STATE_QUEUED) return;
  if (allocation.phase() == v1::ALLOCATION_PHASE_RELEASED) return;
  if (!command.handle.empty()) SetPhase(allocation, v1::ALLOCATION_PHASE_PENDING);
  job->allocation_deadline = absl::InfiniteDuration();
  allocation.set_backend_state(command.state);
  allocation.set_backend_reason(command.reason);
  *job->proto.mutable_status()->mutable_reason() = WaitingFor(allocation, command.advice);
  turn.Touch(*job);
}

void HandleAllocationGranted(Turn& turn, const AllocationGranted& command) {
  Job* job = FindHolder(turn, command.uid, command.generation);
  if (job == nullptr) return;
  TakeHandle(turn, *job, command.handle);
  v1::Allocation& allocation = *job->proto.mutable_status()->mutable_allocation();
  if (allocation.phase() != v1::ALLOCATION_PHASE_REQUESTED &&
      allocation.phase() != v1::ALLOCATION_PHASE_PENDING) {
    return;
  }
  SetPhase(allocation, v1::ALLOCATION_PHASE_GRANTED);
  allocation.set_backend_state(command.state);
  allocation.clear_backend_reason();
  turn.Touch(*job);
  if (job->gang.has_value()) return;
  job->allocation_deadline = turn.now.monotonic + turn.options.start_deadline;
  *job->proto.mutable_status()->mutable_reason() = WaitingFor(allocation, "");
}

void HandleAllocationEnded(Turn& turn, const AllocationEnded& command) {
  Job* job = FindHolder(turn, command.uid, command.generation);
  if (job == nullptr) return;
  TakeHandle(turn, *job, command.handle);
  const v1::Allocation allocation = job->proto.status().allocation();
  const bool released = allocation.phase() == v1::ALLOCATION_PHASE_RELEASED;
  const std::string text =
      WithAdvice(absl::StrCat(HandleText(allocation), ": ", command.message), command.advice);
  if (!released && command.end != AllocationEnd::kRefused) {
    turn.AddEvent(*job, EventCode::kAllocationEnded, text);
  }
  if (job->gang.has_value()) {
    LoseGang(turn, *job, command);
    Forget(turn, *job);
    JudgeGang(turn, *job);
    return;
  }
  if (job->state() == v1::JOB_STATE_QUEUED && command.end == AllocationEnd::kCancelled) {
    turn.Move(*job, v1::JOB_STATE_PAUSED, CancelledOutside(allocation, command.message));
  } else if (job->state() == v1::JOB_STATE_QUEUED && !released) {
    Refused(turn, *job, text);
  }
  if (job->proto.status().has_allocation()) Forget(turn, *job);
}

void StartIfComplete(Turn& turn, const std::string& uid) {
  const Job* found = FindJobByUid(turn.state, uid);
  if (found == nullptr || found->gang.has_value() || !found->proto.status().has_allocation()) {
    return;
  }
  const v1::Allocation& allocation = found->proto.status().allocation();
  if (found->state() != v1::JOB_STATE_QUEUED ||
      allocation.phase() == v1::ALLOCATION_PHASE_RELEASED) {
    return;
  }
  std::vector<std::string> ranks;
  const auto needed = static_cast<size_t>(allocation.ranks());
  const auto bound = turn.state.bound.find(uid);
  if (bound == turn.state.bound.end()) return;
  for (const std::string& name : bound->second) {
    const Node& node = turn.state.nodes.at(name);
    const bool here = IsUsable(node) && !node.draining &&
                      node.info.allocation().generation() == allocation.generation();
    // A worker may say of itself what it likes.
    const size_t slots = std::min(static_cast<size_t>(node.info.slots()), needed - ranks.size());
    if (here) ranks.insert(ranks.end(), slots, name);
  }
  if (ranks.size() < needed) return;
  Job& job = turn.state.jobs.at(found->id);
  job.refusals = 0;
  job.allocation_deadline = absl::InfiniteDuration();
  SetPhase(*job.proto.mutable_status()->mutable_allocation(), v1::ALLOCATION_PHASE_GRANTED);
  StartGang(turn, job, ranks);
}

absl::Status CheckBound(const State& state, const v1::NodeInfo& info) {
  const auto known = state.nodes.find(info.node());
  if (!info.has_allocation()) {
    if (known == state.nodes.end() || !known->second.info.has_allocation()) {
      return absl::OkStatus();
    }
    return absl::PermissionDeniedError(
        absl::StrCat("node ", info.node(), " is a worker of an allocation; choose another name"));
  }
  const v1::NodeAllocation& allocation = info.allocation();
  const Job* job = FindJobByUid(state, allocation.job_uid());
  const bool named =
      job == nullptr
          ? known == state.nodes.end()
          : absl::EndsWith(absl::StrCat(".", info.node()),
                           absl::StrCat(".", allocation.host(), ".",
                                        AllocationName(job->id, allocation.generation())));
  if (named) return absl::OkStatus();
  return absl::PermissionDeniedError(absl::StrCat(
      "a worker of an allocation calls itself ", info.node(),
      "; its name must end in HOST.JOB-gGENERATION of the attempt it was started for"));
}

void IndexBound(State& state, const v1::NodeInfo& info, bool gone) {
  if (!info.has_allocation()) return;
  const std::string& uid = info.allocation().job_uid();
  if (!gone) {
    state.bound[uid].insert(info.node());
    return;
  }
  const auto found = state.bound.find(uid);
  if (found == state.bound.end()) return;
  found->second.erase(info.node());
  if (found->second.empty()) state.bound.erase(found);
}

std::optional<int> ExitCodeFor(const State& state, const v1::NodeInfo& info) {
  if (!info.has_allocation()) return std::nullopt;
  const int64_t generation = info.allocation().generation();
  const Job* job = FindJobByUid(state, info.allocation().job_uid());
  if (job == nullptr) return 0;
  if (job->gang.has_value() && job->gang->generation == generation) return std::nullopt;
  const v1::JobStatus& status = job->proto.status();
  if (status.has_allocation() && status.allocation().generation() == generation &&
      status.allocation().phase() != v1::ALLOCATION_PHASE_RELEASED) {
    return std::nullopt;
  }
  for (const v1::Attempt& attempt : status.attempts()) {
    if (attempt.generation() == generation) return attempt.outcome() == kAttemptFailed ? 1 : 0;
  }
  return 0;
}

void ReleaseAllocation(Turn& turn, Job& job) {
  v1::JobStatus& status = *job.proto.mutable_status();
  if (!status.has_allocation()) return;
  SetPhase(*status.mutable_allocation(), v1::ALLOCATION_PHASE_RELEASED);
  TellAll(turn, job);
}

void DropAllocation(Turn& turn, Job& job) {
  if (job.proto.status().has_allocation() && !job.gang.has_value()) Forget(turn, job);
}

void JudgeGrants(Turn& turn) {
  for (const std::string& id : turn.state.outside.Overdue(turn.now.monotonic)) {
    Job& job = turn.state.jobs.at(id);
    const v1::Allocation& allocation = job.proto.status().allocation();
    Refused(turn, job,
            absl::StrCat(HandleText(allocation), " has run for ",
                         absl::FormatDuration(turn.options.start_deadline),
                         ", and its workers have not reached this coordinator; see their output, "
                         "and whether its nodes reach the address in backends.",
                         allocation.backend(), ".coordinator"));
    ReleaseAllocation(turn, job);
  }
}

}  // namespace ijepa::coordinator
