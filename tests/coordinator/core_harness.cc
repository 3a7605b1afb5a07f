// See core_harness.h.
#include "core_harness.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "coordinator/core/sealing.h"

namespace ijepa::coordinator {

v1::JobSpec SpecFor(const std::string& name, int ranks) {
  v1::JobSpec spec;
  spec.set_name(name);
  spec.mutable_ranks()->set_min(ranks);
  spec.mutable_ranks()->set_max(ranks);
  spec.set_shards(ranks);
  spec.set_max_restarts(10);
  spec.set_max_no_progress(3);
  spec.set_device("auto");
  spec.mutable_checkpoint()->set_keep_last(2);
  return spec;
}

v1::RankExit ExitOf(v1::RankOutcome outcome) {
  v1::RankExit exit;
  exit.set_outcome(outcome);
  return exit;
}

v1::RankExit KilledBy(int signal, absl::Time time) {
  v1::RankExit exit = ExitOf(v1::RANK_OUTCOME_FAILED);
  exit.set_signal(signal);
  *exit.mutable_time() = ToProto(time);
  return exit;
}

v1::RankExit FailedWith(const std::string& code, const std::string& message, absl::Time time) {
  v1::RankExit exit = ExitOf(v1::RANK_OUTCOME_FAILED);
  exit.set_exit_code(1);
  exit.set_status_code(code);
  exit.set_message(message);
  *exit.mutable_time() = ToProto(time);
  return exit;
}

CoreHarness::CoreHarness() : now_{absl::FromUnixSeconds(1700000000), absl::Seconds(1000)} {
  options_.checkpoint_root = "/checkpoints";
  core_ = *Core::Restore(options_, {epoch_, 0}, {}, now_);
  Release(core_->Begin(now_, true));
}

void CoreHarness::Release(Outcome outcome) {
  IJEPA_CHECK(store_.Commit({{}, outcome.writes, outcome.sealed, {}, outcome.prune}).ok());
  for (Reply& reply : outcome.replies) replies_.emplace(reply.token, std::move(reply.job));
  for (Effect& effect : outcome.effects) {
    if (const auto* send = std::get_if<SendToWorker>(&effect)) {
      const std::string name = NodeOfStream(send->stream);
      if (name.empty()) continue;
      if (send->message.has_desired()) nodes_[name].desired = send->message.desired();
      if (send->message.has_rank()) nodes_[name].answers.push_back(send->message.rank().message());
    }
    effects_.push_back(std::move(effect));
  }
}

std::string CoreHarness::NodeOfStream(uint64_t stream) const {
  for (const auto& [name, node] : nodes_) {
    if (node.stream == stream) return name;
  }
  return "";
}

void CoreHarness::Do(const Command& command) {
  for (const std::string& id : PastJobsOf(core_->state(), command)) {
    const auto record = *(*store_.OpenHistory())->Find(id);
    v1::SealedJob job;
    if (record.has_value() && job.ParseFromString(*record)) core_->Lend(std::move(job));
  }
  Release(core_->Apply(command, now_));
  core_->GiveBack();
  if (core_->state().schedule_needed) Release(core_->Apply(RunScheduler{}, now_));
}

void CoreHarness::Advance(absl::Duration duration) {
  const absl::Duration step = absl::Milliseconds(500);
  for (absl::Duration done; done < duration; done += step) {
    now_.wall += step;
    now_.monotonic += step;
    Do(Tick{});
  }
}

void CoreHarness::Skip(absl::Duration duration) {
  now_.wall += duration;
  now_.monotonic += duration;
}

void CoreHarness::Jump(absl::Duration duration) {
  Skip(duration);
  Do(Tick{});
}

void CoreHarness::Restart() {
  const HistoryCounts past = *(*store_.OpenHistory())->Count();
  core_ = *Core::Restore(options_, {++epoch_, 0}, store_, past, now_);
  for (auto& [name, node] : nodes_) node.stream = 0;
  Release(core_->Begin(now_, true));
}

absl::StatusOr<v1::Job> CoreHarness::Create(CreateJob command) {
  command.token = next_token_++;
  if (command.id.empty()) command.id = command.spec.name();
  if (command.uid.empty()) command.uid = absl::StrCat("uid-", command.id);
  const uint64_t token = command.token;
  Do(std::move(command));
  return replies_.at(token);
}

std::string CoreHarness::Submit(const std::string& name, int ranks) {
  CreateJob command;
  command.spec = SpecFor(name, ranks);
  command.queue_anyway = true;
  IJEPA_CHECK(Create(std::move(command)).ok());
  return name;
}

absl::StatusOr<v1::Job> CoreHarness::Cancel(const std::string& name) {
  return Ask(CancelJob{.name = name});
}

absl::Status CoreHarness::ReleaseNode(const std::string& node) {
  const uint64_t token = next_token_++;
  Do(coordinator::ReleaseNode{token, node});
  return replies_.at(token).status();
}

absl::Status CoreHarness::Cordon(const std::string& node, bool cordoned,
                                 const std::string& reason) {
  const uint64_t token = next_token_++;
  Do(CordonNode{token, node, cordoned, reason});
  return replies_.at(token).status();
}

absl::Status CoreHarness::SetMaintenance(const std::string& node, absl::Time start,
                                         absl::Time end) {
  coordinator::SetMaintenance command{next_token_++, node, {}};
  v1::MaintenanceWindow& window = command.windows.emplace_back();
  *window.mutable_start_time() = ToProto(start);
  *window.mutable_end_time() = ToProto(end);
  const uint64_t token = command.token;
  Do(std::move(command));
  return replies_.at(token).status();
}

absl::StatusOr<v1::Job> CoreHarness::Pin(const std::string& checkpoint, bool pinned) {
  return Ask(PinCheckpoint{.name = checkpoint, .pinned = pinned});
}

void CoreHarness::Connect(const std::string& node, int slots, const std::string& incarnation) {
  FakeNode& fake = nodes_[node];
  fake.slots = slots;
  fake.stream = next_stream_++;
  if (fake.incarnation != incarnation) fake.report.set_observed_revision(0);
  fake.incarnation = incarnation;
  WorkerHello hello;
  hello.stream = fake.stream;
  hello.hello.mutable_info()->set_node(node);
  hello.hello.mutable_info()->set_slots(slots);
  for (const std::string& feature : fake.cpu_features) {
    hello.hello.mutable_info()->add_cpu_features(feature);
  }
  if (fake.allocation.has_value()) {
    *hello.hello.mutable_info()->mutable_allocation() = *fake.allocation;
  }
  hello.hello.set_incarnation(incarnation);
  *hello.hello.mutable_report() = fake.report;
  Do(hello);
}

void CoreHarness::SetCpuFeatures(const std::string& node, std::vector<std::string> features) {
  nodes_[node].cpu_features = std::move(features);
}

void CoreHarness::Bind(const std::string& node, const std::string& job_id, int64_t generation,
                       const std::string& host) {
  v1::NodeAllocation& allocation = nodes_[node].allocation.emplace();
  allocation.set_job_uid(job(job_id).proto.uid());
  allocation.set_generation(generation);
  allocation.set_host(host);
}

void CoreHarness::Disconnect(const std::string& node) {
  const uint64_t stream = std::exchange(nodes_[node].stream, 0);
  Do(StreamClosed{stream});
}

void CoreHarness::Obey(const std::string& node, v1::RankPhase phase) {
  FakeNode& fake = nodes_[node];
  v1::NodeReport next;
  next.set_observed_revision(fake.desired.revision());
  for (const v1::DesiredGang& gang : fake.desired.gangs()) {
    for (const int rank : gang.ranks()) {
      v1::RankStatus status;
      status.set_job_uid(gang.job_uid());
      status.set_generation(gang.generation());
      status.set_rank(rank);
      status.set_phase(phase);
      for (const v1::RankStatus& old : fake.report.ranks()) {
        if (old.job_uid() == gang.job_uid() && old.generation() == gang.generation() &&
            old.rank() == rank) {
          status = old;
          if (old.phase() == v1::RANK_PHASE_STARTING) status.set_phase(phase);
        }
      }
      *next.add_ranks() = status;
    }
  }
  fake.report = next;
  Report(node);
}

void CoreHarness::Report(const std::string& node) {
  Do(WorkerReport{nodes_[node].stream, nodes_[node].report});
}

void CoreHarness::Exit(const std::string& node, const std::string& job_id, int rank,
                       v1::RankExit exit) {
  bool found = false;
  for (v1::RankStatus& status : *nodes_[node].report.mutable_ranks()) {
    if (status.job_uid() != job(job_id).proto.uid() || status.rank() != rank) continue;
    status.set_phase(v1::RANK_PHASE_EXITED);
    *status.mutable_exit() = exit;
    found = true;
  }
  IJEPA_CHECK(found);
}

void CoreHarness::Complete(const std::string& node, const std::string& job_id) {
  const v1::NodeReport report = nodes_[node].report;
  for (const v1::RankStatus& status : report.ranks()) {
    if (status.job_uid() == job(job_id).proto.uid()) {
      Exit(node, job_id, status.rank(), ExitOf(v1::RANK_OUTCOME_COMPLETED));
    }
  }
  Report(node);
}

void CoreHarness::RunTo(const std::string& id, int64_t step) {
  const std::set<std::string> names = NodesOf(*job(id).gang);
  for (const std::string& name : names) Obey(name);
  for (size_t rank = 0; rank < job(id).gang->ranks.size(); ++rank) {
    v1::FromRank message;
    message.mutable_step()->set_step(step);
    message.mutable_step()->set_loss(1.0 / static_cast<double>(step));
    FromRank(id, static_cast<int>(rank), message);
  }
}

std::vector<v1::ToRank> CoreHarness::FromRank(const std::string& id, int rank,
                                              v1::FromRank message) {
  return FromRankOf(id, job(id).proto.status().generation(), rank, std::move(message));
}

std::vector<v1::ToRank> CoreHarness::FromRankOf(const std::string& id, int64_t generation, int rank,
                                                v1::FromRank message) {
  std::string node = nodes_.begin()->first;
  for (const v1::Attempt& attempt : job(id).proto.status().attempts()) {
    if (attempt.generation() == generation) node = attempt.placements(rank).node();
  }
  FromRankOn command;
  command.stream = nodes_[node].stream;
  command.message.set_job_uid(job(id).proto.uid());
  command.message.set_generation(generation);
  command.message.set_rank(rank);
  *command.message.mutable_message() = std::move(message);
  nodes_[node].answers.clear();
  Do(command);
  return nodes_[node].answers;
}

v1::CommitResult CoreHarness::Commit(const std::string& id, int64_t step, const std::string& path) {
  v1::FromRank message;
  message.set_sequence(step + 1);
  v1::Checkpoint& checkpoint = *message.mutable_checkpoint()->mutable_checkpoint();
  checkpoint.set_step(step);
  checkpoint.set_path(path);
  const std::vector<v1::ToRank> answers = FromRank(id, 0, message);
  for (const v1::ToRank& answer : answers) {
    if (answer.has_commit()) return answer.commit();
  }
  return {};
}

bool CoreHarness::HasEvent(const std::string& id, const std::string& code) const {
  const auto& events = job(id).proto.status().events();
  return std::any_of(events.begin(), events.end(),
                     [&](const v1::Event& event) { return event.code() == code; });
}

int64_t CoreHarness::CountEvents(const std::string& id, const std::string& code) const {
  int64_t count = 0;
  for (const v1::Event& event : job(id).proto.status().events()) {
    if (event.code() == code) count += std::max<int64_t>(1, event.count());
  }
  return count;
}

}  // namespace ijepa::coordinator
