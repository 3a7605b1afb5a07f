// See auditor.h.
#include "auditor.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "coordinator/core/lifecycle.h"
#include "coordinator/core/placing.h"
#include "coordinator/core/scheduler.h"

namespace ijepa::sim {

using coordinator::IsTerminal;
using coordinator::Job;
using coordinator::ShortName;
using coordinator::State;

namespace {

// What a step of the world may take beyond a deadline: queues, ticks, the way to a worker and back.
constexpr absl::Duration kSlack = absl::Seconds(10);
// What standstills below the core's stall limit may add up to within a lease.
constexpr absl::Duration kShortStandstills = absl::Seconds(4);
// Slots that lie idle for longer, though every waiting job fits, are forgotten.
constexpr absl::Duration kIdle = absl::Seconds(5);

int64_t LastRollback(const Job& job) {
  int64_t sequence = 0;
  for (const v1::Event& event : job.proto.status().events()) {
    if (event.code() == "ROLLED_BACK") sequence = std::max(sequence, event.sequence());
  }
  return sequence;
}

// But for where the nodes are.
bool SameGang(const coordinator::RunningGang& a, const coordinator::RunningGang& b) {
  return a.pieces == b.pieces && a.slots == b.slots && a.queue == b.queue &&
         a.class_value == b.class_value && a.end == b.end && a.ending == b.ending &&
         a.preemptible == b.preemptible && a.start == b.start && a.safe == b.safe;
}

}  // namespace

void Auditor::Violated(std::string what) {
  if (violation_.empty()) violation_ = std::move(what);
}

void Auditor::Acknowledged(const std::string& request_id, const v1::Job& job) {
  const auto [found, is_new] = acknowledged_.try_emplace(request_id, job.name());
  if (!is_new && found->second != job.name()) {
    Violated(
        absl::StrCat("I1: request ", request_id, " made ", found->second, " and ", job.name()));
  }
}

void Auditor::Taken(const SimCoordinator& coordinator, const coordinator::Command& command) {
  uint64_t stream = 0;
  if (const auto* hello = std::get_if<coordinator::WorkerHello>(&command)) {
    stream = hello->stream;
    nodes_by_stream_[stream] = hello->hello.info().node();
  } else if (const auto* report = std::get_if<coordinator::WorkerReport>(&command)) {
    stream = report->stream;
  }
  if (stream == 0) return;
  heard_[nodes_by_stream_[stream]] = {events_.now(), coordinator.stood_still()};
}

void Auditor::Sent(const SimCoordinator& coordinator, const std::string& node,
                   const v1::CoordinatorMessage& message) {
  if (message.has_desired()) {
    int64_t& last = revisions_[node];
    if (message.desired().revision() < last) {
      Violated(absl::StrCat("revision ", message.desired().revision(), " sent to ", node, " after ",
                            last));
    }
    last = std::max(last, message.desired().revision());
  }
  if (!message.has_rank() || !message.rank().message().commit().committed()) return;
  const Job* job = coordinator::FindJobByUid(coordinator.state(), message.rank().job_uid());
  if (job == nullptr || job->checkpoints.empty()) {
    return Violated(absl::StrCat("I5: a commit was acknowledged to ", message.rank().job_uid(),
                                 ", which has none"));
  }
  const int64_t generation = message.rank().generation();
  const bool there =
      std::any_of(job->checkpoints.begin(), job->checkpoints.end(),
                  [&](const v1::Checkpoint& each) { return each.generation() == generation; });
  if (!there) {
    Violated(absl::StrCat("I2: generation ", generation, " of ", job->id,
                          " was told that it committed, and has no checkpoint"));
  }
  int64_t& step = acknowledged_steps_[job->id];
  step = std::max(step, coordinator::CommittedStep(*job));
}

void Auditor::Check(const SimCoordinator& coordinator) {
  const State& state = coordinator.state();
  CheckSubmits(state);
  for (const auto& [id, job] : state.jobs) CheckJob(coordinator, job);
  for (const auto& [id, seen] : jobs_) {
    if (state.jobs.count(id) == 0) Violated(absl::StrCat("I1: job ", id, " is gone"));
  }
  CheckSlots(state);
  CheckIndexes(state);
  CheckNodes(coordinator);
  CheckIdle(coordinator);
}

void Auditor::CheckSubmits(const State& state) {
  for (const auto& [request, name] : acknowledged_) {
    if (coordinator::FindJob(state, name) == nullptr) {
      Violated(absl::StrCat("I1: submit ", request, " was acknowledged as ", name,
                            ", which is not there"));
    }
  }
}

void Auditor::CheckJob(const SimCoordinator& coordinator, const Job& job) {
  Seen& seen = jobs_[job.id];
  const v1::JobStatus& status = job.proto.status();
  if (seen.state != job.state()) {
    if (IsTerminal(seen.state)) {
      return Violated(absl::StrCat("I6: ", job.id, " went from ", ShortName(seen.state), " to ",
                                   ShortName(job.state())));
    }
    seen.since = events_.now();
    seen.state = job.state();
  }
  if (IsTerminal(job.state())) {
    const std::string sealed = absl::StrCat(status.end_time().seconds(), " ", status.generation(),
                                            " ", status.attempts_size());
    if (seen.sealed.empty()) seen.sealed = sealed;
    if (seen.sealed != sealed) {
      Violated(absl::StrCat("I6: ", job.id, " ended as ", seen.sealed, ", now ", sealed));
    }
  }
  if (status.generation() < seen.generation) {
    Violated(absl::StrCat("I2: generation of ", job.id, " fell from ", seen.generation, " to ",
                          status.generation()));
  }
  seen.generation = status.generation();
  CheckCheckpoints(job, seen);
  CheckAttempts(job, seen);
  CheckGang(job);
  CheckDeadline(coordinator, job, seen);
}

void Auditor::CheckCheckpoints(const Job& job, Seen& seen) {
  int64_t generation = 0;
  int64_t step = -1;
  for (const v1::Checkpoint& checkpoint : job.checkpoints) {
    const size_t at = checkpoint.path().rfind(".g");
    if (checkpoint.path().substr(at + 2) != absl::StrCat(checkpoint.generation())) {
      Violated(absl::StrCat("I2: ", checkpoint.path(), " was committed by generation ",
                            checkpoint.generation(), " of ", job.id));
    }
    if (checkpoint.generation() < generation || checkpoint.step() <= step) {
      Violated(absl::StrCat("I2: checkpoints of ", job.id, " are out of order at step ",
                            checkpoint.step()));
    }
    generation = checkpoint.generation();
    step = checkpoint.step();
  }
  const int64_t committed = coordinator::CommittedStep(job);
  int64_t& acknowledged = acknowledged_steps_[job.id];
  const int64_t least = std::max(seen.committed, acknowledged);
  if (committed < least) {
    const int64_t rollback = LastRollback(job);
    if (rollback <= seen.rollback_sequence) {
      Violated(
          absl::StrCat("I5: committed step of ", job.id, " fell from ", least, " to ", committed));
    }
    seen.rollback_sequence = rollback;
    acknowledged = committed;
  }
  seen.committed = committed;
}

void Auditor::CheckAttempts(const Job& job, Seen& seen) {
  size_t ended = 0;
  for (const v1::Attempt& attempt : job.proto.status().attempts()) {
    ended += attempt.has_end_time() ? 1 : 0;
  }
  const size_t all = job.proto.status().attempts().size();
  const bool live = job.gang.has_value();
  if (all - ended != (live ? 1u : 0u)) {
    Violated(absl::StrCat("I4: ", job.id, " has ", all - ended,
                          " attempts that have not ended and ", live ? "a" : "no", " gang"));
  }
  if (ended < seen.ended_attempts) Violated(absl::StrCat("an attempt of ", job.id, " began anew"));
  seen.ended_attempts = ended;
}

void Auditor::CheckGang(const Job& job) {
  const bool should_hold = !IsTerminal(job.state()) && job.state() != v1::JOB_STATE_QUEUED;
  if (should_hold != job.gang.has_value()) {
    return Violated(absl::StrCat("I4: ", job.id, " is ", ShortName(job.state()), " and holds ",
                                 job.gang.has_value() ? "slots" : "no slots"));
  }
  if (!should_hold) return;
  const std::vector<int> sizes = coordinator::GangSizes(job.proto.spec());
  const auto size = static_cast<int>(job.gang->ranks.size());
  const v1::Attempt& attempt = *job.proto.status().attempts().rbegin();
  if (std::find(sizes.begin(), sizes.end(), size) == sizes.end() ||
      attempt.placements_size() != size) {
    Violated(absl::StrCat("I4: ", job.id, " holds ", size, " slots, its attempt names ",
                          attempt.placements_size()));
  }
  for (const coordinator::RankState& rank : job.gang->ranks) {
    if (rank.node.empty()) Violated(absl::StrCat("I4: a rank of ", job.id, " is nowhere"));
  }
}

void Auditor::CheckDeadline(const SimCoordinator& coordinator, const Job& job, const Seen& seen) {
  absl::Duration most = absl::InfiniteDuration();
  if (job.state() == v1::JOB_STATE_RECOVERING) {
    most = options_.stacks_deadline + options_.clear_deadline;
  } else if (job.state() == v1::JOB_STATE_CANCELLING) {
    most = options_.drain_deadline + options_.clear_deadline;
  }
  const absl::Duration since = std::max(seen.since, coordinator.disturbed());
  if (events_.now() - since > most + kSlack) {
    Violated(absl::StrCat("I7: ", job.id, " has been ", ShortName(job.state()), " for ",
                          absl::FormatDuration(events_.now() - since)));
  }
}

void Auditor::CheckSlots(const State& state) {
  std::map<std::string, Slots> used;
  std::map<std::string, std::set<std::string>> jobs;
  for (const auto& [id, job] : state.jobs) {
    if (!job.gang.has_value()) continue;
    for (const coordinator::RankState& rank : job.gang->ranks) {
      ++used[rank.node].ranks;
      jobs[rank.node].insert(id);
    }
  }
  for (const auto& node : nodes_) {
    const int ranks = used[node->name()].ranks;
    if (ranks > node->slots()) {
      Violated(absl::StrCat("I3: ", node->name(), " has ", node->slots(), " slots and ", ranks,
                            " are given out"));
    }
    const auto found = state.nodes.find(node->name());
    if (found == state.nodes.end()) continue;
    if (found->second.jobs != jobs[node->name()] ||
        coordinator::SlotsUsed(state, found->second) != ranks + found->second.foreign_ranks) {
      Violated(absl::StrCat("I8: the books of ", node->name(), " are not the sum of its gangs"));
    }
  }
}

// What the scheduler reads is what follows from the state.
void Auditor::CheckIndexes(const State& state) {
  for (const auto& [name, node] : state.nodes) {
    const coordinator::NodeView* view = state.cluster.Find(name);
    const bool lost = node.state == v1::NODE_STATE_LOST;
    if (lost != (view == nullptr) ||
        (view != nullptr && *view != coordinator::ViewNode(state, name, node))) {
      Violated(absl::StrCat("I8: the scheduler sees ", name, " otherwise than it is"));
    }
  }
  if (state.waiting.size() != state.queued.size()) {
    Violated(absl::StrCat("I8: ", state.queued.size(), " jobs are queued, the scheduler sees ",
                          state.waiting.size()));
  }
  std::map<std::string, int64_t> used;
  for (const std::string& id : state.active) {
    const Job& job = state.jobs.at(id);
    used[coordinator::QueueOf(job)] += static_cast<int64_t>(job.gang->ranks.size());
    const coordinator::RunningGang* seen = state.running.Find(id);
    if (seen == nullptr || !SameGang(*seen, coordinator::ViewGang(job, options_))) {
      Violated(absl::StrCat("I8: the scheduler sees the gang of ", id, " otherwise than it is"));
    }
  }
  if (used != state.running.used()) Violated("I8: a queue's use is not the sum of its gangs");
  for (const auto& [queue, slots] : used) {
    const int64_t most = coordinator::MostOf(coordinator::RulesOf(options_.scheduling, queue));
    if (slots > most) {
      Violated(absl::StrCat("I8: queue ", queue, " uses ", slots, " and may use ", most));
    }
  }
}

void Auditor::CheckNodes(const SimCoordinator& coordinator) {
  for (const auto& node : nodes_) {
    const auto found = coordinator.state().nodes.find(node->name());
    const bool heard = node->connected();
    if (found == coordinator.state().nodes.end() || !coordinator.serving()) continue;
    const v1::NodeState state = found->second.state;
    CheckLoss(coordinator, node->name(), state);
    const absl::Duration quiet = coordinator.disturbed();
    if (heard && state == v1::NODE_STATE_LOST &&
        events_.now() - std::max(node->heard_since(), quiet) > options_.lost_after) {
      Violated(absl::StrCat(node->name(), " is LOST and has been heard all the time"));
    }
    const absl::Duration last = std::max(heard_[node->name()].time, quiet);
    if (state == v1::NODE_STATE_READY && events_.now() - last > options_.lost_after + kSlack) {
      Violated(absl::StrCat("I7: ", node->name(), " is READY and has not been heard for ",
                            absl::FormatDuration(events_.now() - last)));
    }
    CheckZombies(coordinator, *node);
  }
}

// A node may be lost only after it was silent while the coordinator listened.
void Auditor::CheckLoss(const SimCoordinator& coordinator, const std::string& node,
                        v1::NodeState state) {
  const v1::NodeState before = std::exchange(node_states_[node], state);
  if (state != v1::NODE_STATE_LOST || before == v1::NODE_STATE_LOST) return;
  const Heard& heard = heard_[node];
  // A restart begins every lease anew; short standstills count as silence.
  const absl::Duration silent =
      coordinator.reloaded() >= heard.time
          ? options_.lost_after
          : events_.now() - heard.time - (coordinator.stood_still() - heard.stood_still);
  if (silent < options_.lost_after - kShortStandstills) {
    Violated(absl::StrCat(node, " is LOST after ", absl::FormatDuration(silent),
                          " of silence while the coordinator listened"));
  }
}

void Auditor::CheckZombies(const SimCoordinator& coordinator, SimNode& node) {
  for (const auto& [key, rank] : node.ranks()) {
    const Job* job = coordinator::FindJobByUid(coordinator.state(), key.job_uid);
    const bool live = job != nullptr && job->gang.has_value() &&
                      job->gang->generation == key.generation && !job->gang->clearing;
    if (rank.exited || live || !node.connected()) {
      zombies_.erase(key);
      continue;
    }
    const absl::Duration first = zombies_.try_emplace(key, events_.now()).first->second;
    const absl::Duration since = std::max({first, node.heard_since(), coordinator.disturbed()});
    if (events_.now() - since > kSlack) {
      Violated(absl::StrCat("I4: rank ", key.ToString(), " still runs on ", node.name(),
                            " though nobody wants it"));
    }
  }
}

// If every job that may start would fit by itself, something must start.
void Auditor::CheckIdle(const SimCoordinator& coordinator) {
  const State& state = coordinator.state();
  int free = 0;
  for (const auto& [name, node] : state.nodes) {
    if (!coordinator::MayStart(node)) continue;
    free += std::max(0, node.info.slots() - coordinator::SlotsUsed(state, node));
  }
  bool waiting = false;
  bool all_fit = true;
  for (const std::string& id : state.queued) {
    const Job& job = state.jobs.at(id);
    if (job.not_before > coordinator.now().monotonic) continue;
    const int size = coordinator::GangSizes(job.proto.spec()).back();
    // Over its quota it waits for others of its queue, not for slots.
    const std::string queue = coordinator::QueueOf(job);
    if (state.running.UsedBy(queue) + size >
        coordinator::MostOf(coordinator::RulesOf(options_.scheduling, queue))) {
      continue;
    }
    waiting = true;
    all_fit = all_fit && size <= free &&
              job.proto.spec().topology().required() == v1::TOPOLOGY_LEVEL_UNSPECIFIED;
  }
  if (!waiting || !all_fit || !coordinator.serving()) {
    idle_since_ = absl::InfiniteDuration();
    return;
  }
  idle_since_ = std::min(idle_since_, events_.now());
  const absl::Duration since = std::max(idle_since_, coordinator.disturbed());
  if (events_.now() - since > kIdle) {
    Violated(absl::StrCat("I9: ", free,
                          " slots are free, every waiting job would fit, and nothing ",
                          "has started for ", absl::FormatDuration(events_.now() - since)));
  }
}

void Auditor::CheckEnd(const SimCoordinator& coordinator) {
  Check(coordinator);
  std::map<std::string, int> made;
  for (const auto& [request, name] : acknowledged_) {
    if (++made[name] > 1) Violated(absl::StrCat("I1: two requests were answered with ", name));
  }
}

}  // namespace ijepa::sim
