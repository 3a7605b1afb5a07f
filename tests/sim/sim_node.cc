// See sim_node.h.
#include "sim_node.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "coordinator/core/state.h"

namespace ijepa::sim {

using coordinator::FromRankOn;
using coordinator::StreamClosed;
using coordinator::WorkerHello;
using coordinator::WorkerReport;

SimNode::SimNode(std::string name, int slots, World& world)
    : name_(std::move(name)), slots_(slots), world_(world) {}

absl::Duration SimNode::Latency() {
  // Mostly a millisecond, now and then a long queue.
  if (world_.random.Chance(0.02)) {
    return world_.random.Within(absl::ZeroDuration(), absl::Seconds(1));
  }
  return world_.random.Within(absl::ZeroDuration(), absl::Milliseconds(5));
}

void SimNode::PowerOn() {
  if (powered_) return;
  powered_ = true;
  StartWorker();
}

void SimNode::PowerOff() {
  if (!powered_) return;
  KillWorker();
  powered_ = false;
  for (auto& [key, rank] : ranks_) {
    if (!rank.exited) world_.ended(*this, rank);
  }
  ranks_.clear();
}

void SimNode::StartWorker() {
  if (!powered_ || worker_up_) return;
  worker_up_ = true;
  ++boots_;
  life_ = world_.fresh();
  desired_.reset();
  observed_ = 0;
  epoch_seen_ = 0;
  drain_deadline_.reset();
  last_heard_ = world_.events.now();
  for (auto& [key, rank] : ranks_) {
    // What the last worker knew of the process but not the process itself.
    rank.exit_reported = rank.stacks_asked = rank.stacks_collected = rank.killed = false;
    rank.drain.reset();
  }
  ConnectSoon();
  Beat(life_);
}

void SimNode::KillWorker() {
  if (!worker_up_) return;
  worker_up_ = false;
  life_ = 0;
  BreakStream();
}

void SimNode::DrainWorker() {
  if (!worker_up_ || drain_deadline_.has_value()) return;
  drain_deadline_ = world_.wall() + world_.drain_time;
  const uint64_t life = life_;
  world_.events.After(world_.drain_time + absl::Seconds(5), [this, life] {
    if (life == life_) KillWorker();
  });
  Reconcile();
  ReportSoon();
}

void SimNode::BreakStream() {
  if (stream_ == 0) return;
  const uint64_t stream = stream_;
  Wire& wire = wires_[stream];
  wire.down_open = false;
  // What is on its way may yet arrive, even after a newer stream's hello; then the end is seen.
  if (world_.random.Chance(0.5)) wire.up_open = false;
  const absl::Duration noticed =
      std::max(wire.last_up,
               world_.events.now() + world_.random.Within(absl::ZeroDuration(), absl::Seconds(3)));
  world_.events.At(noticed, [this, stream] {
    wires_.erase(stream);
    world_.post(StreamClosed{stream});
  });
  Lost();
}

void SimNode::StreamEnded(uint64_t stream) {
  wires_.erase(stream);
  if (stream == stream_) Lost();
}

void SimNode::AllStreamsEnded() {
  wires_.clear();
  if (stream_ != 0) Lost();
}

void SimNode::Lost() {
  stream_ = 0;
  welcomed_ = false;
  heard_since_ = absl::InfiniteDuration();
  ConnectSoon();
}

void SimNode::ConnectSoon() {
  if (!worker_up_ || connect_scheduled_) return;
  connect_scheduled_ = true;
  world_.events.After(world_.random.Within(absl::Milliseconds(100), absl::Seconds(2)), [this] {
    connect_scheduled_ = false;
    if (!worker_up_ || stream_ != 0) return;
    if (partitioned || !world_.reachable()) return ConnectSoon();
    Connect();
  });
}

void SimNode::Connect() {
  stream_ = world_.fresh();
  wires_[stream_] = {};
  WorkerHello hello;
  hello.stream = stream_;
  v1::NodeInfo& info = *hello.hello.mutable_info();
  info.set_node(name_);
  info.set_slots(slots_);
  for (const auto& [key, value] : labels) {
    v1::NodeLabel& label = *info.add_labels();
    label.set_key(key);
    label.set_value(value);
  }
  hello.hello.set_incarnation(absl::StrCat("boot-", boots_));
  hello.hello.set_coordinator_epoch(epoch_seen_);
  *hello.hello.mutable_report() = MakeReport();
  SendUp(std::move(hello));
}

void SimNode::SendUp(coordinator::Command command) {
  const uint64_t stream = stream_;
  Wire& wire = wires_[stream];
  wire.last_up = std::max(wire.last_up, world_.events.now() + Latency());
  // Now and then said twice; a level-triggered message does no harm.
  const int times = world_.random.Chance(0.02) ? 2 : 1;
  for (int i = 0; i < times; ++i) {
    world_.events.At(wire.last_up, [this, stream, command] {
      const auto found = wires_.find(stream);
      if (found == wires_.end() || !found->second.up_open) return;
      world_.post(command);
    });
  }
}

void SimNode::Deliver(uint64_t stream, const v1::CoordinatorMessage& message) {
  const auto found = wires_.find(stream);
  if (found == wires_.end()) return;
  Wire& wire = found->second;
  wire.last_down = std::max(wire.last_down, world_.events.now() + Latency());
  world_.events.At(wire.last_down, [this, stream, message] {
    const auto open = wires_.find(stream);
    if (open == wires_.end() || !open->second.down_open || stream != stream_) return;
    Take(message);
  });
}

void SimNode::Take(const v1::CoordinatorMessage& message) {
  if (message.coordinator_epoch() < epoch_seen_) return BreakStream();
  epoch_seen_ = message.coordinator_epoch();
  last_heard_ = world_.events.now();
  if (!welcomed_) {
    welcomed_ = true;
    heard_since_ = world_.events.now();
    for (auto& [key, rank] : ranks_) {
      for (const auto& [sequence, said] : rank.unanswered) PassOn(rank, said);
    }
    ReportSoon();
  }
  if (message.has_desired()) {
    desired_ = message.desired();
    Reconcile();
    ReportSoon();
  }
  if (!message.has_rank()) return;
  const auto found = ranks_.find(worker::KeyOf(message.rank()));
  if (found == ranks_.end() || found->second.exited) return;
  SimRank& rank = found->second;
  const v1::ToRank& answer = message.rank().message();
  if (answer.sequence() != 0 && rank.unanswered.erase(answer.sequence()) == 0) return;
  world_.told(*this, rank, answer);
}

v1::DesiredState SimNode::Wanted() const {
  v1::DesiredState wanted = *desired_;
  if (!drain_deadline_.has_value()) return wanted;
  for (v1::DesiredGang& gang : *wanted.mutable_gangs()) {
    if (gang.has_drain()) continue;
    *gang.mutable_drain()->mutable_deadline() = coordinator::ToProto(*drain_deadline_);
    gang.mutable_drain()->set_reason("MAINTENANCE");
  }
  return wanted;
}

void SimNode::Reconcile() {
  if (!worker_up_ || !desired_.has_value()) return;
  std::vector<worker::ActualRank> actual;
  for (const auto& [key, rank] : ranks_) {
    actual.push_back({key, rank.slot, !rank.exited, rank.drain.has_value(), rank.stacks_asked,
                      rank.killed, rank.exited && rank.exit_reported});
  }
  const worker::Actions actions = worker::Reconcile(Wanted(), actual, slots_, world_.wall());
  for (const worker::KillRank& kill : actions.kill) {
    SimRank& rank = ranks_.at(kill.key);
    rank.killed = true;
    const uint64_t pid = rank.pid;
    world_.events.After(
        world_.random.Within(absl::Milliseconds(1), absl::Milliseconds(500)),
        [this, key = kill.key, pid] {
          const auto found = ranks_.find(key);
          if (found == ranks_.end() || found->second.exited || found->second.pid != pid) return;
          v1::RankExit exit;
          exit.set_outcome(v1::RANK_OUTCOME_FAILED);
          exit.set_signal(9);
          EndRank(found->second, exit);
        });
  }
  for (const worker::DrainRank& drain : actions.drain) {
    SimRank& rank = ranks_.at(drain.key);
    rank.drain = drain.drain;
    v1::ToRank message;
    *message.mutable_drain() = drain.drain;
    world_.told(*this, rank, message);
  }
  for (const RankKey& key : actions.collect_stacks) {
    ranks_.at(key).stacks_asked = true;
    world_.events.After(absl::Seconds(1), [this, key] {
      const auto found = ranks_.find(key);
      if (found == ranks_.end()) return;
      found->second.stacks_collected = true;
      ReportSoon();
    });
  }
  for (const RankKey& key : actions.forget) ranks_.erase(key);
  for (const RankKey& key : actions.drain_unstarted) AddUnstarted(key);
  for (const worker::StartRank& start : actions.start) StartRank(start.key, start.slot);
  if (observed_ != desired_->revision()) {
    observed_ = desired_->revision();
    ReportSoon();
  }
}

void SimNode::StartRank(const RankKey& key, int slot) {
  SimRank& rank = ranks_[key];
  rank.key = key;
  rank.slot = slot;
  rank.pid = world_.fresh();
  rank.launch = worker::LaunchOf(*desired_, key, slot);
  world_.started(*this, rank);
  ReportSoon();
}

void SimNode::AddUnstarted(const RankKey& key) {
  SimRank& rank = ranks_[key];
  rank.key = key;
  rank.exited = true;
  rank.exit.set_outcome(v1::RANK_OUTCOME_DRAINED);
  *rank.exit.mutable_time() = coordinator::ToProto(world_.wall());
  ReportSoon();
}

void SimNode::FromRank(SimRank& rank, v1::FromRank message, bool wants_answer) {
  if (wants_answer) {
    message.set_sequence(++rank.last_sequence);
    rank.unanswered[message.sequence()] = message;
  }
  if (worker_up_ && connected()) PassOn(rank, message);
}

void SimNode::PassOn(const SimRank& rank, const v1::FromRank& message) {
  FromRankOn command;
  command.stream = stream_;
  command.message.set_job_uid(rank.key.job_uid);
  command.message.set_generation(rank.key.generation);
  command.message.set_rank(rank.key.rank);
  *command.message.mutable_message() = message;
  SendUp(std::move(command));
}

void SimNode::EndRank(SimRank& rank, v1::RankExit exit) {
  if (rank.exited) return;
  rank.exited = true;
  rank.training = false;
  rank.unanswered.clear();
  exit.set_last_step(rank.step);
  *exit.mutable_time() = coordinator::ToProto(world_.wall());
  rank.exit = std::move(exit);
  world_.ended(*this, rank);
  ReportSoon();
}

int SimNode::Running() const {
  return static_cast<int>(std::count_if(ranks_.begin(), ranks_.end(),
                                        [](const auto& entry) { return !entry.second.exited; }));
}

v1::NodeReport SimNode::MakeReport() const {
  v1::NodeReport report;
  report.set_observed_revision(observed_);
  report.set_draining(drain_deadline_.has_value());
  for (const auto& [key, rank] : ranks_) {
    v1::RankStatus& status = *report.add_ranks();
    status.set_job_uid(key.job_uid);
    status.set_generation(key.generation);
    status.set_rank(key.rank);
    status.set_phase(rank.exited     ? v1::RANK_PHASE_EXITED
                     : rank.step > 0 ? v1::RANK_PHASE_TRAINING
                                     : v1::RANK_PHASE_STARTING);
    status.set_step(rank.step);
    status.set_stacks_collected(rank.stacks_collected);
    if (rank.exited) *status.mutable_exit() = rank.exit;
  }
  return report;
}

void SimNode::ReportSoon() {
  if (report_scheduled_ || !worker_up_) return;
  report_scheduled_ = true;
  world_.events.After(absl::Milliseconds(20), [this] {
    report_scheduled_ = false;
    if (!worker_up_) return;
    Reconcile();
    if (!connected()) return;
    SendUp(WorkerReport{stream_, MakeReport()});
    for (auto& [key, rank] : ranks_) rank.exit_reported = rank.exit_reported || rank.exited;
  });
}

void SimNode::Beat(uint64_t life) {
  world_.events.After(world_.heartbeat * world_.random.Within(80, 120) / 100, [this, life] {
    if (life != life_) return;
    ReportSoon();
    const bool orphaned = world_.events.now() - last_heard_ >= world_.reattach_window;
    for (auto& [key, rank] : ranks_) {
      if (!orphaned || rank.exited) continue;
      v1::RankExit exit;
      exit.set_outcome(v1::RANK_OUTCOME_FAILED);
      exit.set_signal(15);
      EndRank(rank, exit);
    }
    if (drain_deadline_.has_value() && Running() == 0 && ranks_.empty()) return KillWorker();
    Beat(life);
  });
}

}  // namespace ijepa::sim
