// See turn.h.
#include "coordinator/core/turn.h"

#include <algorithm>
#include <iterator>
#include <map>

#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "coordinator/core/allocations.h"
#include "coordinator/core/desired.h"
#include "coordinator/core/keys.h"
#include "coordinator/core/lifecycle.h"
#include "coordinator/core/placing.h"
#include "coordinator/core/records.h"

namespace ijepa::coordinator {
namespace {

using Events = google::protobuf::RepeatedPtrField<v1::Event>;

std::map<std::string, int> CountByCode(const Events& events) {
  std::map<std::string, int> counts;
  for (const v1::Event& event : events) ++counts[event.code()];
  return counts;
}

const std::string& MostFrequent(const std::map<std::string, int>& counts) {
  return std::max_element(counts.begin(), counts.end(),
                          [](const auto& a, const auto& b) { return a.second < b.second; })
      ->first;
}

int64_t CountOf(const v1::Event& event) { return std::max<int64_t>(1, event.count()); }

}  // namespace

void Turn::Touch(const Job& job) { jobs_.insert(job.id); }

void Turn::TouchAttempt(const Job& job) {
  attempts_.insert(job.id);
  Touch(job);
}

void Turn::TouchCurve(const Job& job) {
  curves_.insert(job.id);
  Touch(job);
}

void Turn::TouchNode(const std::string& node) {
  nodes_.insert(node);
  ReviewNode(node);
}

void Turn::ReviewNode(const std::string& node) { reviewed_.insert(node); }

void Turn::Put(std::string key, std::string value) {
  outcome_.writes.push_back({std::move(key), std::move(value)});
}

void Turn::Delete(std::string key) { outcome_.writes.push_back({std::move(key), std::nullopt}); }

void Turn::PutNode(const std::string& name, const Node& node) {
  Put(NodeKey(name), EncodeNode(node));
  ReviewNode(name);
}

void Turn::Seal(SealedRow row) { outcome_.sealed.push_back(std::move(row)); }

void Turn::Prune(Batch::Prune prune) { outcome_.prune = prune; }

void Turn::AddEvent(Job& job, EventCode code, std::string message) {
  auto* events = job.proto.mutable_status()->mutable_events();
  v1::Event* event = events->Add();
  *event->mutable_time() = ToProto(now.wall);
  event->set_generation(job.proto.status().generation());
  event->set_code(EventName(code));
  event->set_message(std::move(message));
  event->set_sequence(++job.last_event_sequence);
  Put(EventKey(job.id, event->sequence()), event->SerializeAsString());
  const std::map<std::string, int> counts = CountByCode(*events);
  const int limit = IsRoutine(code) ? kMaxRoutineEvents : kMaxEventsOfCode;
  if (counts.at(EventName(code)) > limit) {
    MergeOldest(job, EventName(code));
  } else if (events->size() > kMaxEvents) {
    MergeOldest(job, MostFrequent(counts));
  }
  Touch(job);
}

void Turn::MergeOldest(Job& job, const std::string& code) {
  auto* events = job.proto.mutable_status()->mutable_events();
  const auto same = [&](const v1::Event& event) { return event.code() == code; };
  const auto oldest = std::find_if(events->begin(), events->end(), same);
  const auto into = std::find_if(std::next(oldest), events->end(), same);
  IJEPA_CHECK(into != events->end());
  into->set_count(CountOf(*into) + CountOf(*oldest));
  *into->mutable_first_time() = oldest->has_first_time() ? oldest->first_time() : oldest->time();
  Put(EventKey(job.id, into->sequence()), into->SerializeAsString());
  Delete(EventKey(job.id, oldest->sequence()));
  events->erase(oldest);
}

void Turn::AnnounceAllocation(const Job& job) {
  outcome_.effects.push_back(AllocationChanged{job.id, job.proto.uid()});
}

void Turn::Announce(Job& job) { outcome_.effects.push_back(JobChanged{job.id}); }

void Turn::AnnounceTokens() { outcome_.effects.emplace_back(std::in_place_type<TokensChanged>); }

void Turn::Move(Job& job, v1::JobState to, v1::Reason reason) {
  IJEPA_CHECK(MayMove(job.state(), to));
  v1::JobStatus& status = *job.proto.mutable_status();
  const v1::JobState from = job.state();
  status.set_state(to);
  *status.mutable_state_time() = ToProto(now.wall);
  *status.mutable_reason() = std::move(reason);
  if (to == v1::JOB_STATE_QUEUED) {
    state.queued.insert(job.id);
  } else {
    state.queued.erase(job.id);
  }
  if (from == v1::JOB_STATE_UNSPECIFIED) {
    state.index.Add(job);
  } else {
    state.index.Move(job, from);
  }
  if (IsTerminal(to)) {
    *status.mutable_end_time() = ToProto(now.wall);
    state.ended.push_back(job.id);
    state.starters.erase(job.id);
    ended.push_back(job.id);
  }
  const bool waits_no_more =
      IsTerminal(to) || to == v1::JOB_STATE_HELD || to == v1::JOB_STATE_PAUSED;
  if (waits_no_more) DropAllocation(*this, job);
  if (status.curve_size() > 0) TouchCurve(job);
  // Whether one that joins the jobs that wait for our own nodes needs a pass is seen when it is
  // reviewed.
  const bool joins = to == v1::JOB_STATE_QUEUED && !ViewOutside(job, options).has_value();
  if (!joins) state.schedule_needed = true;
  Touch(job);
}

void Turn::Reply(uint64_t token, absl::StatusOr<v1::Job> job) {
  outcome_.replies.push_back({token, std::move(job)});
}

void Turn::Send(const Node& node, v1::CoordinatorMessage message) {
  if (node.stream == 0) return;
  message.set_coordinator_epoch(state.epoch);
  outcome_.effects.push_back(SendToWorker{node.stream, std::move(message)});
}

void Turn::SendToRank(const Node& node, const v1::RankMessage& to, v1::ToRank message) {
  v1::CoordinatorMessage wrapped;
  v1::RankReply& reply = *wrapped.mutable_rank();
  reply.set_job_uid(to.job_uid());
  reply.set_generation(to.generation());
  reply.set_rank(to.rank());
  *reply.mutable_message() = std::move(message);
  Send(node, std::move(wrapped));
}

void Turn::Close(uint64_t stream, absl::Status why) {
  outcome_.effects.push_back(CloseStream{stream, std::move(why)});
}

void Turn::RefreshDesired(const std::string& name) {
  const auto found = state.nodes.find(name);
  if (found == state.nodes.end()) return;
  Node& node = found->second;
  node.revision = ++state.last_revision;
  node.desired = DesiredFor(state, name, node);
  node.desired.set_revision(node.revision);
  for (const std::string& id : node.jobs) {
    // Only what changed waits for the new revision; the rest was seen with an older one.
    state.jobs.at(id).gang->revisions.try_emplace(name, node.revision);
  }
  v1::CoordinatorMessage message;
  *message.mutable_desired() = node.desired;
  Send(node, std::move(message));
}

// Brings the scheduler's view of the job up to date; what its queue used is settled first where the
// slots of the queue change.
void Turn::ReviewJob(const Job& job) {
  const RunningGang* before = state.running.Find(job.id);
  const size_t slots = job.gang.has_value() ? job.gang->ranks.size() : 0;
  const bool changes = slots != (before == nullptr ? 0 : static_cast<size_t>(before->slots));
  if (changes) {
    const std::string queue = QueueOf(job);
    SettleUsage(state, queue, now, options.scheduling);
    Put(UsageKey(queue), EncodeUsage(state.usage.at(queue)));
  }
  RefreshJob(state, job, options);
}

Outcome Turn::Finish() {
  for (const std::string& name : nodes_) RefreshDesired(name);
  for (const std::string& id : jobs_) {
    Job& job = state.jobs.at(id);
    Announce(job);
    job.proto.set_etag(EtagOf(++job.revision));
    job.live_change = false;
    Put(JobKey(id), EncodeJob(job));
    if (attempts_.count(id) > 0) {
      const v1::Attempt* attempt = job.attempt();
      Put(AttemptKey(id, attempt->generation()), attempt->SerializeAsString());
    }
    if (curves_.count(id) > 0) Put(CurveKey(id), EncodeCurve(job));
    ReviewJob(job);
  }
  for (const std::string& name : reviewed_) RefreshNode(state, name);
  return std::move(outcome_);
}

std::string EtagOf(int64_t revision) { return absl::StrCat("r", revision); }

v1::Reason MakeReason(absl::string_view code, std::string message) {
  v1::Reason reason;
  reason.set_code(std::string(code));
  reason.set_message(std::move(message));
  return reason;
}

}  // namespace ijepa::coordinator
