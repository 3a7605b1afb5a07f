// See placing.h.
#include "coordinator/core/placing.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "coordinator/core/allocations.h"
#include "coordinator/core/gang.h"
#include "coordinator/core/keys.h"
#include "coordinator/core/lifecycle.h"
#include "coordinator/core/scheduler.h"

namespace ijepa::coordinator {
namespace {

// Jobs that are told why they wait right after a pass; the rest hear it from the ticks that follow.
constexpr int kToldPerPass = 100;

bool CpuHasBf16(const v1::NodeInfo& info) {
  const auto& features = info.cpu_features();
  return std::any_of(features.begin(), features.end(), [](const std::string& feature) {
    return feature == "avx512_bf16" || feature == "amx_bf16";
  });
}

bool SameReason(const v1::Reason& a, const v1::Reason& b) {
  return a.code() == b.code() && a.message() == b.message() && a.short_by() == b.short_by() &&
         a.earliest_start_time().seconds() == b.earliest_start_time().seconds() &&
         std::equal(a.jobs_ahead().begin(), a.jobs_ahead().end(), b.jobs_ahead().begin(),
                    b.jobs_ahead().end());
}

// Derived, so it is shown but not written.
void Tell(State& state, const std::string& id, const v1::Reason& reason) {
  Job& job = state.jobs.at(id);
  v1::Reason& old = *job.proto.mutable_status()->mutable_reason();
  if (SameReason(old, reason)) return;
  old = reason;
  MarkLive(state, job);
}

std::map<std::string, double> UsageNow(const Turn& turn) {
  std::map<std::string, double> usage;
  for (const auto& [queue, known] : turn.state.usage) {
    usage[queue] = UsageOf(turn.state, queue, turn.now.wall, turn.options.scheduling);
  }
  return usage;
}

// Groups share their reasons, so that few need to be compared.
void TakeVerdicts(State& state, const std::vector<Verdict>& verdicts) {
  std::map<std::pair<const v1::Reason*, const v1::Reason*>, bool> same;
  for (const Verdict& verdict : verdicts) {
    JobGroup& group = *verdict.group;
    // All of it may have started.
    if (group.jobs.empty()) continue;
    bool told = false;
    if (group.reason != nullptr) {
      const auto [found, is_new] = same.try_emplace({group.reason.get(), verdict.reason.get()});
      if (is_new) found->second = SameReason(*group.reason, *verdict.reason);
      told = found->second;
    }
    group.reason = verdict.reason;
    if (told) continue;
    group.told_up_to = group.jobs.begin()->first;
    state.stale_groups.insert(group.key);
  }
}

}  // namespace

NodeView ViewNode(const State& state, const std::string& name, const Node& node) {
  NodeView view;
  view.name = name;
  view.slots = node.info.slots();
  view.free = node.info.slots() - SlotsUsed(state, node);
  view.gpu = !node.info.gpu_model().empty();
  view.usable = MayStart(node);
  view.cpu_bf16 = CpuHasBf16(node.info);
  for (const v1::NodeLabel& label : node.info.labels()) {
    if (label.key() == "island") view.island = label.value();
    if (label.key() == "rack") view.rack = label.value();
    if (label.key() == "block") view.block = label.value();
  }
  return view;
}

absl::Duration TimeUsed(const Job& job) {
  absl::Duration used;
  for (const v1::Attempt& attempt : job.proto.status().attempts()) {
    if (!attempt.has_end_time()) continue;
    // A clock that went back gives nothing back.
    used += std::max(absl::ZeroDuration(),
                     FromProto(attempt.end_time()) - FromProto(attempt.start_time()));
  }
  return used;
}

absl::Duration TimeLimit(const Job& job) {
  absl::Duration limit;
  const std::string& text = job.proto.spec().time_limit();
  return absl::ParseDuration(text, &limit) ? limit : absl::InfiniteDuration();
}

QueuedJob ViewJob(const Job& job, const CoreOptions& options) {
  const v1::JobSpec& spec = job.proto.spec();
  QueuedJob view;
  view.id = job.id;
  view.priority = spec.priority();
  view.number = job.number;
  view.sizes = GangSizes(spec);
  view.device = spec.device();
  view.bf16 = spec.meta().precision() == v1::PRECISION_BF16;
  view.not_before = job.not_before;
  view.queue = QueueOf(job);
  view.class_value = ClassValue(options.scheduling, spec.priority_class());
  const auto& attempts = job.proto.status().attempts();
  view.recovering = !attempts.empty() && attempts.rbegin()->outcome() == kAttemptFailed;
  view.time_left = absl::Ceil(TimeLimit(job) - TimeUsed(job), absl::Seconds(1));
  const v1::TopologySpec& topology = spec.topology();
  if (topology.preferred() != v1::TOPOLOGY_LEVEL_UNSPECIFIED) {
    view.preferred = topology.preferred();
  }
  if (topology.required() != v1::TOPOLOGY_LEVEL_UNSPECIFIED) view.required = topology.required();
  return view;
}

RunningGang ViewGang(const Job& job, const CoreOptions& options) {
  const Gang& gang = *job.gang;
  const v1::JobSpec& spec = job.proto.spec();
  RunningGang view;
  view.id = job.id;
  view.queue = QueueOf(job);
  view.class_value = ClassValue(options.scheduling, spec.priority_class());
  for (const RankState& rank : gang.ranks) {
    if (view.pieces.empty() || view.pieces.back().node != rank.node) {
      view.pieces.push_back({rank.node, 0});
    }
    ++view.pieces.back().slots;
  }
  view.slots = static_cast<int>(gang.ranks.size());
  view.start = gang.start;
  view.safe = gang.safe;
  const bool up = job.state() == v1::JOB_STATE_STARTING || job.state() == v1::JOB_STATE_RUNNING;
  view.ending = !up || gang.clearing || gang.draining;
  view.preemptible = job.state() == v1::JOB_STATE_RUNNING && !view.ending &&
                     (!spec.has_preemptible() || spec.preemptible());
  if (view.ending) {
    // Ranks that do not stop by themselves are cleared next.
    view.end = gang.deadline + (gang.clearing ? absl::ZeroDuration() : options.clear_deadline);
    // A gang that stops to go on larger takes its slots again.
    view.ending = gang.cause != StopCause::kGrow;
  } else if (!job.proto.status().attempts().rbegin()->allocation().empty()) {
    // Its slots are of no use to others here.
    view.preemptible = false;
  } else if (const absl::Duration limit = TimeLimit(job); limit != absl::InfiniteDuration()) {
    view.end = gang.start + limit - TimeUsed(job) + options.drain_deadline;
  }
  return view;
}

void RefreshNode(State& state, const std::string& name) {
  const auto found = state.nodes.find(name);
  // Workers of an allocation are the attempt's alone.
  if (found == state.nodes.end() || found->second.state == v1::NODE_STATE_LOST ||
      found->second.info.has_allocation()) {
    state.cluster.Remove(name);
  } else {
    state.cluster.Update(ViewNode(state, name, found->second));
  }
}

void RefreshJob(State& state, const Job& job, const CoreOptions& options) {
  const bool queued = job.state() == v1::JOB_STATE_QUEUED;
  const std::optional<OutsideJob> outside =
      queued ? ViewOutside(job, options) : std::optional<OutsideJob>();
  if (outside.has_value()) {
    const bool ask = state.outside.Update(*outside);
    state.schedule_needed = state.schedule_needed || ask;
  } else {
    state.outside.Remove(job.id);
  }
  if (queued && !outside.has_value()) {
    const bool look = state.waiting.Update(ViewJob(job, options));
    state.schedule_needed = state.schedule_needed || look;
    const JobGroup* group = state.waiting.GroupOf(job.id);
    if (!look && group != nullptr && group->reason != nullptr) Tell(state, job.id, *group->reason);
  } else {
    state.waiting.Remove(job.id);
  }
  if (job.gang.has_value()) {
    state.running.Update(ViewGang(job, options));
  } else {
    state.running.Remove(job.id);
  }
}

void RebuildIndexes(State& state, const CoreOptions& options) {
  for (const auto& [name, node] : state.nodes) RefreshNode(state, name);
  for (const std::string& id : state.queued) RefreshJob(state, state.jobs.at(id), options);
  for (const std::string& id : state.active) RefreshJob(state, state.jobs.at(id), options);
}

std::string QueueOf(const Job& job) {
  const std::string& queue = job.proto.spec().queue();
  return queue.empty() ? kDefaultQueueName : queue;
}

void SettleUsage(State& state, const std::string& queue, Now now, const SchedulingRules& rules) {
  QueueUsage& usage = state.usage[queue];
  usage = Decay(usage, state.running.UsedBy(queue), now.wall, rules.fair_share_half_life);
}

double UsageOf(const State& state, const std::string& queue, absl::Time now,
               const SchedulingRules& rules) {
  const auto usage = state.usage.find(queue);
  if (usage == state.usage.end()) return 0;
  return Decay(usage->second, state.running.UsedBy(queue), now, rules.fair_share_half_life)
      .slot_seconds;
}

v1::Queue DescribeQueue(const State& state, const std::string& name, const SchedulingRules& rules) {
  const QueueRules& queue = RulesOf(rules, name);
  v1::Queue proto;
  proto.set_name(absl::StrCat("queues/", name));
  if (queue.nominal.has_value()) proto.set_nominal(*queue.nominal);
  if (queue.borrowing_limit.has_value()) proto.set_borrowing_limit(*queue.borrowing_limit);
  if (queue.limit.has_value()) proto.set_limit(*queue.limit);
  proto.set_weight(queue.weight);
  proto.set_default_time_limit(queue.time_limit);
  proto.set_priority_class(queue.priority_class);
  proto.set_backend(queue.backend);
  proto.set_used(state.running.UsedBy(name));
  const auto waiting = state.waiting.jobs_by_queue().find(name);
  int64_t jobs = state.outside.WaitingIn(name);
  if (waiting != state.waiting.jobs_by_queue().end()) jobs += waiting->second;
  proto.set_waiting_jobs(jobs);
  const auto usage = state.usage.find(name);
  if (usage != state.usage.end()) proto.set_fair_share(usage->second.slot_seconds / queue.weight);
  return proto;
}

void PlaceQueuedJobs(Turn& turn) {
  State& state = turn.state;
  state.schedule_needed = false;
  AskBackends(turn);
  state.waiting.Wake(turn.now.monotonic);
  state.last_pass = turn.now.monotonic;
  ++state.figures.passes;
  if (state.waiting.groups().empty()) {
    state.figures.held_back_passes = 0;
    return;
  }
  const std::map<std::string, double> usage = UsageNow(turn);
  const std::function<int(const std::string&)> bypassed = [&](const std::string& id) {
    return state.jobs.at(id).bypassed;
  };
  Plan plan = Schedule({.now = turn.now.monotonic,
                        .wall = turn.now.wall,
                        .rules = turn.options.scheduling,
                        .waiting = state.waiting,
                        .cluster = state.cluster,
                        .running = state.running,
                        .usage = usage,
                        .bypassed = bypassed,
                        .stop_time = turn.options.drain_deadline + turn.options.clear_deadline});
  for (const Start& start : plan.starts) StartGang(turn, state.jobs.at(start.id), start.nodes);
  for (const Preemption& stop : plan.preemptions) {
    StopGang(turn, state.jobs.at(stop.id), StopCause::kPreempt,
             absl::StrCat("its slots go to ", stop.by, "; it saves and waits in the queue"));
  }
  for (const std::string& id : plan.bypassed) {
    Job& job = state.jobs.at(id);
    ++job.bypassed;
    turn.Touch(job);
  }
  state.figures.starts += static_cast<int64_t>(plan.starts.size());
  state.figures.preemptions += static_cast<int64_t>(plan.preemptions.size());
  state.figures.held_back_passes =
      plan.starts.empty() && plan.held_back ? state.figures.held_back_passes + 1 : 0;
  TakeVerdicts(state, plan.verdicts);
  TellReasons(turn, kToldPerPass);
  state.schedule_needed = false;
}

void TellReasons(Turn& turn, int most) {
  State& state = turn.state;
  for (std::string& id : state.waiting.TakeFresh(static_cast<size_t>(most))) {
    --most;
    const JobGroup* group = state.waiting.GroupOf(id);
    if (group != nullptr && group->reason != nullptr) Tell(state, id, *group->reason);
  }
  while (most > 0 && !state.stale_groups.empty()) {
    const auto stale = state.stale_groups.begin();
    const auto found = state.waiting.groups().find(*stale);
    // Its jobs may have gone, and others come since: those are told once a pass has looked at them.
    if (found == state.waiting.groups().end() || found->second->reason == nullptr) {
      state.stale_groups.erase(stale);
      continue;
    }
    JobGroup& group = *found->second;
    auto next = group.jobs.lower_bound(group.told_up_to);
    for (; most > 0 && next != group.jobs.end(); ++next, --most) {
      Tell(state, next->second, *group.reason);
    }
    if (next == group.jobs.end()) {
      state.stale_groups.erase(stale);
    } else {
      group.told_up_to = next->first;
    }
  }
}

}  // namespace ijepa::coordinator
