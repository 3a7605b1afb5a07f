// See sealing.h.
#include "coordinator/core/sealing.h"

#include <set>
#include <type_traits>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "coordinator/core/keys.h"
#include "coordinator/core/records.h"

namespace ijepa::coordinator {
namespace {

// Per call: bounds the commit that they share with other commands.
constexpr int kMostSealed = 128;
constexpr int kMostForgotten = 128;
constexpr absl::Duration kForgetInterval = absl::Seconds(10);

v1::SealedJob SealedFrom(Job& job) {
  v1::SealedJob sealed;
  sealed.set_number(job.number);
  *sealed.mutable_job() = std::move(job.proto);
  for (v1::Checkpoint& checkpoint : job.checkpoints) {
    *sealed.add_checkpoints() = std::move(checkpoint);
  }
  sealed.set_last_event_sequence(job.last_event_sequence);
  sealed.set_revision(job.revision);
  return sealed;
}

void DeleteLive(Turn& turn, const std::string& id, const v1::SealedJob& sealed) {
  const v1::JobStatus& status = sealed.job().status();
  for (const std::string& key : {JobKey(id), SpecKey(id), CurveKey(id)}) turn.Delete(key);
  for (const v1::Attempt& attempt : status.attempts()) {
    turn.Delete(AttemptKey(id, attempt.generation()));
  }
  for (const v1::Event& event : status.events()) turn.Delete(EventKey(id, event.sequence()));
  for (const v1::ProbeReport& probe : status.probes()) turn.Delete(ProbeKey(id, probe.step()));
  for (const v1::Checkpoint& checkpoint : sealed.checkpoints()) {
    turn.Delete(CheckpointKey(id, checkpoint.step(), checkpoint.generation()));
  }
}

void Seal(Turn& turn, const std::string& id) {
  State& state = turn.state;
  Job& job = state.jobs.at(id);
  state.index.Remove(job);
  ++state.sealed_by_state[job.state()];
  const v1::SealedJob sealed = SealedFrom(job);
  turn.Seal(RowOf(sealed));
  DeleteLive(turn, id, sealed);
  state.ids_by_uid.erase(sealed.job().uid());
  state.ids_by_number.erase(sealed.number());
  state.jobs.erase(id);
}

void AddPast(const State& state, absl::string_view name, std::set<std::string>& ids) {
  std::string id = JobId(name);
  if (id.empty() || FindJob(state, id) != nullptr || state.lent.count(id) > 0) return;
  ids.insert(std::move(id));
}

void AddPastOfNew(const State& state, const CreateJob& command, std::set<std::string>& ids) {
  AddPast(state, command.parent, ids);
  for (const v1::Dependency& dependency : command.spec.depends_on()) {
    AddPast(state, dependency.job(), ids);
  }
}

// Before anything may leave that tells which numbers were given: they make ids, and with them
// folders of logs and checkpoints.
void StoreNumbers(Turn& turn) {
  State& state = turn.state;
  if (state.stored_number >= state.last_number) return;
  v1::StoredNumbers stored;
  stored.set_last_job(state.last_number);
  turn.Put(kNumbersKey, stored.SerializeAsString());
  state.stored_number = state.last_number;
}

}  // namespace

void HandleSealEnded(Turn& turn) {
  State& state = turn.state;
  StoreNumbers(turn);
  for (int i = 0; i < kMostSealed && !state.ended.empty(); ++i) {
    const std::string id = state.ended.front();
    const Job& job = state.jobs.at(id);
    // Its record may lack times if it was stored by an early version.
    if (FromProto(job.proto.status().end_time()) + turn.options.seal_after > turn.now.wall) break;
    state.ended.pop_front();
    Seal(turn, id);
  }
  if (turn.options.keep_history == absl::InfiniteDuration() ||
      turn.now.monotonic < state.last_forgetting + kForgetInterval) {
    return;
  }
  state.last_forgetting = turn.now.monotonic;
  turn.Prune({turn.now.wall - turn.options.keep_history, kMostForgotten});
}

std::vector<std::string> PastJobsOf(const State& state, const Command& command) {
  std::set<std::string> ids;
  std::visit(
      [&](const auto& body) {
        using Body = std::decay_t<decltype(body)>;
        if constexpr (std::is_same_v<Body, PinCheckpoint>) {
          AddPast(state, body.name.substr(0, body.name.rfind("/checkpoints/")), ids);
        } else if constexpr (std::is_same_v<Body, CancelJob> || std::is_same_v<Body, SteerJob>) {
          AddPast(state, body.name, ids);
        } else if constexpr (std::is_same_v<Body, CreateJob>) {
          AddPastOfNew(state, body, ids);
        } else if constexpr (std::is_same_v<Body, CreateArray>) {
          for (const CreateJob& job : body.jobs) AddPastOfNew(state, job, ids);
        }
        if constexpr (requires { body.request_id; }) {
          const auto repeated = state.requests.find(body.request_id);
          if (repeated != state.requests.end()) AddPast(state, repeated->second.job_id(), ids);
        }
      },
      command);
  return {ids.begin(), ids.end()};
}

v1::SealedJob* FindLent(State& state, absl::string_view name) {
  const auto found = state.lent.find(JobId(name));
  if (found == state.lent.end() || !IsMeantBy(name, found->second.job().name())) return nullptr;
  return &found->second;
}

SealedRow RowOf(const v1::SealedJob& sealed) {
  const v1::Job& job = sealed.job();
  SealedRow row;
  row.number = sealed.number();
  row.id = JobId(job.name());
  row.uid = job.uid();
  row.state = job.status().state();
  row.end_time = FromProto(job.status().end_time());
  row.labels = SearchLabels(job);
  row.brief = BriefOf(job).SerializeAsString();
  row.record = sealed.SerializeAsString();
  return row;
}

v1::Job BriefOf(const v1::Job& job) {
  v1::Job brief;
  CopyHeader(job, brief);
  *brief.mutable_spec() = job.spec();
  const v1::JobStatus& from = job.status();
  v1::JobStatus& to = *brief.mutable_status();
  if (from.has_latest_checkpoint()) *to.mutable_latest_checkpoint() = from.latest_checkpoint();
  *to.mutable_slow_ranks() = from.slow_ranks();
  // Of the probes the newest, by which arrays compare their jobs.
  if (from.probes_size() > 0) *to.add_probes() = from.probes(from.probes_size() - 1);
  return brief;
}

std::vector<std::string> SearchLabels(const v1::Job& job) {
  std::vector<std::string> labels;
  for (const v1::Label& label : job.spec().labels()) {
    labels.push_back(absl::StrCat(label.key(), "=", label.value()));
  }
  if (job.has_array()) labels.push_back(ArrayLabel(job.array().array()));
  labels.push_back(ProjectLabel(ProjectOf(job.name())));
  return labels;
}

}  // namespace ijepa::coordinator
