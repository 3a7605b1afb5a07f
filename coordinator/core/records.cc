// See records.h.
#include "coordinator/core/records.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/status_macros.h"
#include "coordinator/core/allocations.h"
#include "coordinator/core/dependencies.h"
#include "coordinator/core/desired.h"
#include "coordinator/core/keys.h"
#include "coordinator/core/lifecycle.h"
#include "coordinator/core/placing.h"
#include "coordinator/core/progress.h"

namespace ijepa::coordinator {
namespace {

absl::Status Damaged(const std::string& key) {
  return absl::DataLossError(absl::StrCat("store: the value of ", key, " cannot be read"));
}

template <typename Message>
absl::Status Parse(const KeyValue& pair, Message& message) {
  return message.ParseFromString(pair.value) ? absl::OkStatus() : Damaged(pair.key);
}

absl::Status AddJob(const KeyValue& pair, const std::string& id, State& state) {
  v1::StoredJob stored;
  IJEPA_RETURN_IF_ERROR(Parse(pair, stored));
  Job& job = state.jobs[id];
  job.id = id;
  job.number = stored.number();
  job.proto = std::move(*stored.mutable_job());
  job.revision = stored.revision();
  job.no_progress = stored.no_progress();
  job.spent_restarts = stored.spent_restarts();
  job.healing_commits = stored.healing_commits();
  job.bypassed = stored.bypassed();
  job.refusals = stored.refusals();
  job.last_event_sequence = stored.last_event_sequence();
  job.deletable.assign(stored.deletable().begin(), stored.deletable().end());
  if (stored.has_drain_deadline()) job.drain_deadline = FromProto(stored.drain_deadline());
  if (stored.has_evidence()) job.evidence = std::move(*stored.mutable_evidence());
  state.ids_by_number[job.number] = id;
  state.ids_by_uid[job.proto.uid()] = id;
  state.last_number = std::max(state.last_number, job.number);
  if (job.state() == v1::JOB_STATE_QUEUED) state.queued.insert(id);
  if (stored.clearing()) {
    job.gang.emplace();  // completed by RestoreGang
    job.gang->clearing = true;
  }
  return absl::OkStatus();
}

// Values that belong to a job; jobs were read before.
absl::Status AddJobPart(const KeyValue& pair, absl::string_view kind, Job& job) {
  v1::JobStatus& status = *job.proto.mutable_status();
  if (kind == "spec") return Parse(pair, *job.proto.mutable_spec());
  if (kind == "attempt") return Parse(pair, *status.add_attempts());
  if (kind == "event") return Parse(pair, *status.add_events());
  if (kind == "probe") return Parse(pair, *status.add_probes());
  if (kind == "checkpoint") return Parse(pair, job.checkpoints.emplace_back());
  if (kind == "curve") {
    v1::StoredCurve curve;
    IJEPA_RETURN_IF_ERROR(Parse(pair, curve));
    *status.mutable_curve() = std::move(*curve.mutable_points());
    *status.mutable_telemetry() = std::move(*curve.mutable_telemetry());
    job.curve_stride = StrideOf(status);
    return absl::OkStatus();
  }
  return Damaged(pair.key);
}

absl::Status AddNode(const KeyValue& pair, const std::string& name, Now now, State& state) {
  v1::StoredNode stored;
  IJEPA_RETURN_IF_ERROR(Parse(pair, stored));
  Node& node = state.nodes[name];
  node.info = std::move(*stored.mutable_info());
  node.incarnation = stored.incarnation();
  // A fresh lease: silence while there was no coordinator proves nothing.
  node.state = stored.state() == v1::NODE_STATE_LOST ? v1::NODE_STATE_LOST : v1::NODE_STATE_READY;
  node.last_seen_wall = FromProto(stored.last_seen_time());
  node.last_seen = now.monotonic;
  if (stored.has_quarantine()) node.quarantine = std::move(*stored.mutable_quarantine());
  node.faults.assign(stored.faults().begin(), stored.faults().end());
  node.cordoned = stored.cordoned();
  node.cordon_reason = stored.cordon_reason();
  node.maintenance.assign(stored.maintenance().begin(), stored.maintenance().end());
  return absl::OkStatus();
}

absl::Status AddNumbers(const KeyValue& pair, State& state) {
  v1::StoredNumbers stored;
  IJEPA_RETURN_IF_ERROR(Parse(pair, stored));
  state.stored_number = stored.last_job();
  state.last_number = std::max(state.last_number, state.stored_number);
  return absl::OkStatus();
}

absl::Status AddUsage(const KeyValue& pair, const std::string& queue, State& state) {
  v1::StoredUsage stored;
  IJEPA_RETURN_IF_ERROR(Parse(pair, stored));
  state.usage[queue] = {stored.slot_seconds(), FromProto(stored.time())};
  return absl::OkStatus();
}

// The live gang of a job whose newest attempt has not ended.
void RestoreGang(Job& job, const CoreOptions& options, Now now, State& state) {
  const bool clearing = job.gang.has_value();
  const v1::Attempt& attempt = *job.attempt();
  const bool running = job.state() != v1::JOB_STATE_STARTING;
  Gang gang;
  gang.generation = attempt.generation();
  gang.clearing = clearing;
  gang.ranks.resize(attempt.placements_size());
  for (const v1::RankPlacement& placement : attempt.placements()) {
    RankState& rank = gang.ranks[placement.rank()];
    rank.node = placement.node();
    rank.seen = running;
    rank.stepped = running;
    Node& node = state.nodes[rank.node];
    if (node.info.node().empty()) node.info.set_node(rank.node);
    node.jobs.insert(job.id);
    rank.gone = node.state == v1::NODE_STATE_LOST;
  }
  gang.launch = LaunchFor(job, attempt.placements_size(), options);
  ForgiveRanks(gang, now.monotonic);
  // As old as it is by the wall clock, which is all that outlives a coordinator.
  const absl::Duration age =
      std::max(absl::ZeroDuration(), now.wall - FromProto(attempt.start_time()));
  gang.start = gang.safe = now.monotonic - age;
  gang.deadline = now.monotonic + (clearing                  ? options.clear_deadline
                                   : IsStopping(job.state()) ? options.drain_deadline
                                                             : options.start_deadline);
  job.gang = std::move(gang);
  state.active.insert(job.id);
}

absl::Status AddPair(const KeyValue& pair, Now now, State& state) {
  const std::vector<std::string> parts = absl::StrSplit(pair.key, absl::MaxSplits('/', 2));
  if (parts[0] == kMetaKey || parts[0] == "job") return absl::OkStatus();
  if (parts[0] == kNumbersKey) return AddNumbers(pair, state);
  if (parts.size() < 2) return Damaged(pair.key);
  if (parts[0] == "node") return AddNode(pair, pair.key.substr(5), now, state);
  if (parts[0] == "usage") return AddUsage(pair, parts[1], state);
  if (parts[0] == "token") return Parse(pair, state.tokens[pair.key.substr(6)]);
  if (parts[0] == "request") return Parse(pair, state.requests[pair.key.substr(8)]);
  const auto job = state.jobs.find(parts[1]);
  if (job == state.jobs.end()) {
    return absl::DataLossError(absl::StrCat("store: ", pair.key, " belongs to no job"));
  }
  if (parts[0] == "rendezvous") return absl::OkStatus();  // needs the gang: RestoreRendezvous
  return AddJobPart(pair, parts[0], job->second);
}

void RestoreRendezvous(const KeyValue& pair, State& state) {
  const std::vector<std::string> parts = absl::StrSplit(pair.key, absl::MaxSplits('/', 3));
  if (parts[0] != "rendezvous" || parts.size() < 4) return;
  Job& job = state.jobs.at(parts[1]);
  if (job.gang.has_value()) job.gang->rendezvous[parts[3]] = pair.value;
}

// What follows from the jobs once they are whole.
void IndexJobs(State& state) {
  std::vector<std::pair<absl::Time, std::string>> ended;
  for (const auto& [id, job] : state.jobs) {
    state.index.Add(job);
    if (!IsTerminal(job.state())) {
      if (job.proto.spec().meta().load_checkpoint()) state.starters.insert(id);
      continue;
    }
    ended.emplace_back(FromProto(job.proto.status().end_time()), id);
  }
  std::sort(ended.begin(), ended.end());
  for (auto& [time, id] : ended) state.ended.push_back(std::move(id));
}

}  // namespace

void CopyHeader(const v1::Job& from, v1::Job& to) {
  to.set_name(from.name());
  to.set_uid(from.uid());
  to.set_etag(from.etag());
  to.set_parent(from.parent());
  to.set_from_checkpoint(from.from_checkpoint());
  if (from.has_array()) *to.mutable_array() = from.array();
  to.set_user(from.user());
  const v1::JobStatus& was = from.status();
  v1::JobStatus& status = *to.mutable_status();
  status.set_state(was.state());
  if (was.has_state_time()) *status.mutable_state_time() = was.state_time();
  if (was.has_reason()) *status.mutable_reason() = was.reason();
  if (was.has_submit_time()) *status.mutable_submit_time() = was.submit_time();
  if (was.has_start_time()) *status.mutable_start_time() = was.start_time();
  if (was.has_end_time()) *status.mutable_end_time() = was.end_time();
  if (was.has_progress()) *status.mutable_progress() = was.progress();
  if (was.has_allocation()) *status.mutable_allocation() = was.allocation();
  status.set_generation(was.generation());
  status.set_restarts(was.restarts());
}

std::string EncodeJob(const Job& job) {
  v1::StoredJob stored;
  stored.set_number(job.number);
  CopyHeader(job.proto, *stored.mutable_job());
  stored.set_no_progress(job.no_progress);
  stored.set_spent_restarts(job.spent_restarts);
  stored.set_healing_commits(job.healing_commits);
  stored.set_bypassed(job.bypassed);
  stored.set_refusals(job.refusals);
  stored.set_last_event_sequence(job.last_event_sequence);
  if (job.drain_deadline != absl::InfiniteFuture()) {
    *stored.mutable_drain_deadline() = ToProto(job.drain_deadline);
  }
  if (job.evidence.has_value()) *stored.mutable_evidence() = *job.evidence;
  for (const std::string& path : job.deletable) stored.add_deletable(path);
  stored.set_revision(job.revision);
  stored.set_clearing(job.gang.has_value() && job.gang->clearing);
  return stored.SerializeAsString();
}

std::string EncodeCurve(const Job& job) {
  v1::StoredCurve curve;
  *curve.mutable_points() = job.proto.status().curve();
  *curve.mutable_telemetry() = job.proto.status().telemetry();
  return curve.SerializeAsString();
}

std::string EncodeNode(const Node& node) {
  v1::StoredNode stored;
  *stored.mutable_info() = node.info;
  stored.set_incarnation(node.incarnation);
  stored.set_state(node.state);
  *stored.mutable_last_seen_time() = ToProto(node.last_seen_wall);
  if (node.quarantine.has_value()) *stored.mutable_quarantine() = *node.quarantine;
  for (const v1::NodeFault& fault : node.faults) *stored.add_faults() = fault;
  stored.set_cordoned(node.cordoned);
  stored.set_cordon_reason(node.cordon_reason);
  for (const v1::MaintenanceWindow& window : node.maintenance) *stored.add_maintenance() = window;
  return stored.SerializeAsString();
}

std::string EncodeUsage(const QueueUsage& usage) {
  v1::StoredUsage stored;
  stored.set_slot_seconds(usage.slot_seconds);
  *stored.mutable_time() = ToProto(usage.time);
  return stored.SerializeAsString();
}

std::string EncodeMeta(int64_t epoch) {
  v1::StoredMeta meta;
  meta.set_epoch(epoch);
  return meta.SerializeAsString();
}

absl::StatusOr<int64_t> DecodeEpoch(const std::string& value) {
  v1::StoredMeta meta;
  if (!meta.ParseFromString(value)) return Damaged(kMetaKey);
  return meta.epoch();
}

absl::StatusOr<State> DecodeState(const ScanPairs& scan, const CoreOptions& options, Now now) {
  State state;
  IJEPA_RETURN_IF_ERROR(
      scan("job/", [&](const KeyValue& pair) { return AddJob(pair, pair.key.substr(4), state); }));
  std::vector<KeyValue> rendezvous;
  IJEPA_RETURN_IF_ERROR(scan("", [&](KeyValue pair) {
    absl::Status status = AddPair(pair, now, state);
    if (absl::StartsWith(pair.key, "rendezvous/")) rendezvous.push_back(std::move(pair));
    return status;
  }));
  for (auto& [id, job] : state.jobs) {
    if (!job.checkpoints.empty()) {
      *job.proto.mutable_status()->mutable_latest_checkpoint() = job.checkpoints.back();
    }
    const v1::Attempt* attempt = job.attempt();
    if (attempt != nullptr && !attempt->has_end_time()) RestoreGang(job, options, now, state);
    if (job.proto.status().allocation().phase() == v1::ALLOCATION_PHASE_GRANTED) {
      job.allocation_deadline = now.monotonic + options.start_deadline;
    }
  }
  for (const KeyValue& pair : rendezvous) RestoreRendezvous(pair, state);
  for (const auto& [name, node] : state.nodes) IndexBound(state, node.info);
  RebuildIndexes(state, options);
  IndexJobs(state);
  RestoreDependencies(state);
  state.schedule_needed = true;
  return state;
}

}  // namespace ijepa::coordinator
