// See simulation.h.
#include "simulation.h"

#include <cmath>
#include <deque>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "auditor.h"
#include "coordinator/core/lifecycle.h"
#include "event_queue.h"
#include "sim_clients.h"
#include "sim_coordinator.h"
#include "sim_gangs.h"
#include "sim_node.h"
#include "sim_random.h"

namespace ijepa::sim {

absl::Duration SimRandom::Gap(absl::Duration mean) {
  return std::min(20 * mean, -std::log(1 - Unit()) * mean);
}

namespace {

// Deadlines of minutes would make runs of hours; their order is what matters.
coordinator::CoreOptions ShortTimes() {
  coordinator::CoreOptions options;
  options.heartbeat_interval = absl::Seconds(2);
  options.unreachable_after = absl::Seconds(6);
  options.lost_after = absl::Seconds(15);
  options.reattach_window = absl::Seconds(60);
  options.start_deadline = absl::Seconds(20);
  options.drain_deadline = absl::Seconds(10);
  options.clear_deadline = absl::Seconds(20);
  options.stacks_deadline = absl::Seconds(3);
  options.quarantine.length = absl::Seconds(30);
  options.quarantine.window = absl::Minutes(2);
  options.watch.fixed = absl::Seconds(40);
  options.watch.step_floor = absl::Seconds(8);
  coordinator::SchedulingRules& scheduling = options.scheduling;
  scheduling.queues["owner"].nominal = 3;
  scheduling.queues["owner"].borrowing_limit = 5;
  scheduling.queues["small"].limit = 4;
  scheduling.queues["small"].weight = 2;
  scheduling.min_run_time = absl::Seconds(4);
  scheduling.max_bypass = 3;
  options.request_id_lifetime = absl::Hours(24);
  options.checkpoint_root = "/checkpoints";
  return options;
}

// Peace that no job outlasts: some restarts, each with its deadlines.
constexpr absl::Duration kPeace = absl::Minutes(60);

using coordinator::CancelJob;
using coordinator::CreateJob;
using coordinator::FromRankOn;
using coordinator::RunScheduler;
using coordinator::StreamClosed;
using coordinator::Tick;
using coordinator::WorkerHello;
using coordinator::WorkerReport;

// For the trace.
struct Printer {
  std::string operator()(const CreateJob& c) const {
    return absl::StrCat("create ", c.id, " ", c.request_id);
  }
  std::string operator()(const CancelJob& c) const { return absl::StrCat("cancel ", c.name); }
  std::string operator()(const WorkerHello& c) const {
    return absl::StrCat("hello ", c.stream, " ", c.hello.ShortDebugString());
  }
  std::string operator()(const WorkerReport& c) const {
    return absl::StrCat("report ", c.stream, " ", c.report.ShortDebugString());
  }
  std::string operator()(const FromRankOn& c) const {
    return absl::StrCat("rank ", c.stream, " ", c.message.ShortDebugString());
  }
  std::string operator()(const StreamClosed& c) const { return absl::StrCat("closed ", c.stream); }
  std::string operator()(const RunScheduler&) const { return "schedule"; }
  std::string operator()(const Tick&) const { return "tick"; }
};

std::string Describe(const coordinator::Command& command) {
  return std::visit(
      [](const auto& body) -> std::string {
        if constexpr (requires { Printer{}(body); }) {
          return Printer{}(body);
        } else {
          return "another command";
        }
      },
      command);
}

class Simulation {
 public:
  explicit Simulation(const RunOptions& options);
  RunResult Run();

 private:
  void Wire();
  SimCoordinator::Hooks CoordinatorHooks();
  void AddNodes();
  void Trace(std::string line);
  SimNode* NodeOf(uint64_t stream);
  void Repeat(absl::Duration mean, std::function<void()> body);
  void PlanFaults();
  void CrashCoordinator();
  void HurtNode();
  void HurtRank();
  void TakeNodeOut();
  void MakePeace();
  bool AllEnded() const;
  // Until nothing is left to do or `end`.
  void RunUntil(absl::Duration end, bool until_all_ended);
  RunResult Report();

  const RunOptions run_;
  const coordinator::CoreOptions options_ = ShortTimes();
  EventQueue events_;
  SimRandom random_;
  Auditor::Nodes nodes_;
  Auditor auditor_;
  SimCoordinator coordinator_;
  SimGangs gangs_;
  SimClients clients_;
  SimNode::World world_;
  uint64_t fresh_ = 1;
  uint64_t steps_ = 0;
  uint64_t commands_ = 0;
  int crashes_ = 0;
  bool peace_ = false;
  int slots_ = 0;
  std::deque<std::string> trace_;
};

Simulation::Simulation(const RunOptions& options)
    : run_(options),
      random_(options.seed * 0x9e3779b97f4a7c15u + 1),
      auditor_(events_, options_, nodes_),
      coordinator_(events_, random_, options_, options.sabotage, CoordinatorHooks()),
      gangs_(events_, random_, {}),
      clients_(events_, random_, coordinator_, auditor_),
      world_{.events = events_,
             .random = random_,
             .heartbeat = options_.heartbeat_interval,
             .reattach_window = options_.reattach_window,
             .drain_time = options_.drain_deadline,
             .wall = [this] { return coordinator_.now().wall; },
             .reachable = [this] { return coordinator_.up(); },
             .post =
                 [this](coordinator::Command command) {
                   coordinator_.Post(std::move(command), nullptr);
                 },
             .fresh = [this] { return fresh_++; },
             .started = [this](SimNode& node, SimRank& rank) { gangs_.Started(node, rank); },
             .told = [this](SimNode& node, SimRank& rank,
                            const v1::ToRank& message) { gangs_.Told(node, rank, message); },
             .ended = [this](SimNode& node, SimRank& rank) { gangs_.Ended(node, rank); }} {}

void Simulation::Trace(std::string line) {
  if (run_.trace == 0) return;
  trace_.push_back(absl::StrCat(absl::FormatDuration(events_.now()), " ", line));
  if (trace_.size() > run_.trace) trace_.pop_front();
}

SimCoordinator::Hooks Simulation::CoordinatorHooks() {
  SimCoordinator::Hooks hooks;
  hooks.send = [this](uint64_t stream, const v1::CoordinatorMessage& message) {
    SimNode* node = NodeOf(stream);
    if (node == nullptr) return;
    auditor_.Sent(coordinator_, node->name(), message);
    node->Deliver(stream, message);
  };
  hooks.close = [this](uint64_t stream) {
    SimNode* node = NodeOf(stream);
    if (node == nullptr) return;
    events_.After(absl::Milliseconds(1), [this, node, stream] {
      node->StreamEnded(stream);
      coordinator_.Post(coordinator::StreamClosed{stream}, nullptr);
    });
  };
  hooks.close_all = [this] {
    for (const auto& node : nodes_) node->AllStreamsEnded();
  };
  hooks.durable = [this] { auditor_.Check(coordinator_); };
  hooks.reloaded = [this] { auditor_.Check(coordinator_); };
  hooks.trace = [this](const coordinator::Command& command) {
    ++commands_;
    auditor_.Taken(coordinator_, command);
    if (run_.trace > 0) Trace(Describe(command));
  };
  hooks.note = [this](const std::string& note) { Trace(note); };
  hooks.violation = [this](const std::string& what) { auditor_.Violated(what); };
  return hooks;
}

SimNode* Simulation::NodeOf(uint64_t stream) {
  for (const auto& node : nodes_) {
    if (node->HasStream(stream)) return node.get();
  }
  return nullptr;
}

void Simulation::AddNodes() {
  const int count = random_.Within(1, 5);
  for (int i = 0; i < count; ++i) {
    const int slots = random_.Within(1, 4);
    slots_ += slots;
    nodes_.push_back(std::make_unique<SimNode>(absl::StrCat("node-", i), slots, world_));
    nodes_.back()->labels["rack"] = absl::StrCat("r", i / 2);
    SimNode* node = nodes_.back().get();
    events_.After(random_.Within(absl::ZeroDuration(), absl::Seconds(5)),
                  [node] { node->PowerOn(); });
  }
}

// Again and again, at random gaps, until there is peace.
void Simulation::Repeat(absl::Duration mean, std::function<void()> body) {
  events_.After(random_.Gap(mean), [this, mean, body] {
    if (peace_) return;
    body();
    Repeat(mean, body);
  });
}

void Simulation::CrashCoordinator() {
  static constexpr CommitFault kFaults[] = {
      CommitFault::kCrashBefore, CommitFault::kCrashAfter, CommitFault::kCrashAfter,
      CommitFault::kFailWithoutWriting, CommitFault::kFailAfterWriting};
  if (random_.Chance(0.3)) {
    Trace("the coordinator is killed");
    coordinator_.Crash();
  } else {
    coordinator_.FailNextCommit(kFaults[random_.Below(5)]);
  }
}

void Simulation::HurtNode() {
  SimNode* node = nodes_[random_.Below(static_cast<int>(nodes_.size()))].get();
  const absl::Duration later = random_.Gap(absl::Seconds(12));
  const int what = random_.Below(6);
  Trace(absl::StrCat("fault ", what, " at ", node->name()));
  if (what == 0) {
    node->PowerOff();
    events_.After(later, [node] { node->PowerOn(); });
  } else if (what == 1) {
    node->KillWorker();
    events_.After(later, [node] { node->StartWorker(); });
  } else if (what == 2) {
    node->DrainWorker();
    events_.After(later + absl::Seconds(16), [node] { node->StartWorker(); });
  } else if (what == 3) {
    node->partitioned = true;
    node->BreakStream();
    events_.After(later, [node] { node->partitioned = false; });
  } else {
    node->BreakStream();
  }
}

void Simulation::HurtRank() {
  SimNode* node = nodes_[random_.Below(static_cast<int>(nodes_.size()))].get();
  std::vector<RankKey> living;
  for (const auto& [key, rank] : node->ranks()) {
    if (!rank.exited) living.push_back(key);
  }
  if (living.empty()) return;
  const RankKey key = living[random_.Below(static_cast<int>(living.size()))];
  Trace(absl::StrCat("a fault of rank ", key.ToString()));
  gangs_.Break(*node, node->ranks().at(key), random_.Below(1 << 20));
}

// A cordon that is lifted again, or a short maintenance.
void Simulation::TakeNodeOut() {
  const std::string name = nodes_[random_.Below(static_cast<int>(nodes_.size()))]->name();
  const auto ignore = [](absl::StatusOr<v1::Job>) {};
  if (random_.Chance(0.5)) {
    coordinator_.Post(coordinator::CordonNode{0, name, true, "trial"}, ignore);
    return;
  }
  coordinator::SetMaintenance command;
  command.name = name;
  v1::MaintenanceWindow& window = command.windows.emplace_back();
  const absl::Time start = coordinator_.now().wall + random_.Gap(absl::Seconds(15));
  *window.mutable_start_time() = coordinator::ToProto(start);
  *window.mutable_end_time() =
      coordinator::ToProto(start + absl::Seconds(1) + random_.Gap(absl::Seconds(10)));
  coordinator_.Post(command, ignore);
}

void Simulation::PlanFaults() {
  // How rough it is differs from run to run: most bugs need few faults that meet.
  const auto mean = [&](double seconds) {
    return absl::Seconds(seconds * (0.4 + 4 * random_.Unit() * random_.Unit()));
  };
  Repeat(mean(25), [this] { CrashCoordinator(); });
  Repeat(absl::Seconds(1), [this] {
    if (!coordinator_.up() && random_.Chance(0.3)) {
      ++crashes_;
      Trace("the coordinator starts");
      coordinator_.Start();
    }
  });
  Repeat(mean(40), [this] {
    const absl::Duration length = random_.Gap(absl::Seconds(8));
    Trace(absl::StrCat("the coordinator stands still for ", absl::FormatDuration(length)));
    coordinator_.Stall(length);
  });
  Repeat(mean(60), [this] {
    coordinator_.StepWallClock(random_.Within(-absl::Seconds(20), absl::Seconds(40)));
  });
  Repeat(mean(12), [this] { HurtNode(); });
  Repeat(mean(9), [this] { HurtRank(); });
  Repeat(mean(12), [this] { clients_.Submit(slots_); });
  Repeat(mean(40), [this] { clients_.CancelOne(); });
  Repeat(mean(30), [this] { clients_.PinOne(); });
  Repeat(mean(40), [this] { TakeNodeOut(); });
}

void Simulation::MakePeace() {
  peace_ = true;
  Trace("peace");
  for (int i = 1; i <= 3; ++i) {
    events_.After(i * absl::Seconds(45), [this] { clients_.CancelHopeless(); });
  }
  coordinator_.HealStore();
  coordinator_.Start();
  for (const auto& node : nodes_) {
    node->partitioned = false;
    SimNode* each = node.get();
    clients_.Uncordon(each->name());
    // A worker that drains ends first.
    events_.After(absl::Seconds(20), [each] {
      each->PowerOn();
      each->StartWorker();
    });
  }
}

bool Simulation::AllEnded() const {
  if (!coordinator_.serving() || clients_.waiting() > 0) return false;
  const auto& jobs = coordinator_.state().jobs;
  return std::all_of(jobs.begin(), jobs.end(), [](const auto& entry) {
    return coordinator::IsTerminal(entry.second.state());
  });
}

void Simulation::RunUntil(absl::Duration end, bool until_all_ended) {
  while (events_.now() < end && auditor_.violation().empty()) {
    if (!events_.RunNext()) break;
    ++steps_;
    if (until_all_ended && steps_ % 64 == 0 && AllEnded()) break;
  }
}

RunResult Simulation::Run() {
  AddNodes();
  coordinator_.Start();
  clients_.Submit(slots_);
  if (random_.Chance(0.5)) clients_.Submit(slots_);
  PlanFaults();
  RunUntil(random_.Within(absl::Seconds(40), absl::Seconds(150)), false);
  if (auditor_.violation().empty()) {
    MakePeace();
    RunUntil(events_.now() + kPeace, true);
  }
  if (auditor_.violation().empty()) {
    if (!AllEnded()) {
      std::string which;
      for (const auto& [id, job] : coordinator_.state().jobs) {
        if (coordinator::IsTerminal(job.state())) continue;
        absl::StrAppend(&which, " ", id, "=", coordinator::ShortName(job.state()), " (",
                        job.proto.status().reason().code(), ": ",
                        job.proto.status().reason().message(), ")");
      }
      auditor_.Violated(absl::StrCat("I7: after an hour of peace not all has ended, ",
                                     clients_.waiting(), " calls wait;", which));
    } else {
      auditor_.CheckEnd(coordinator_);
    }
  }
  return Report();
}

RunResult Simulation::Report() {
  RunResult result;
  result.violation = auditor_.violation();
  result.steps = steps_;
  result.commands = commands_;
  result.crashes = crashes_;
  result.trace.assign(trace_.begin(), trace_.end());
  if (!coordinator_.up()) return result;
  for (const auto& [id, job] : coordinator_.state().jobs) {
    result.succeeded += job.state() == v1::JOB_STATE_SUCCEEDED ? 1 : 0;
    result.failed += job.state() == v1::JOB_STATE_FAILED ? 1 : 0;
    result.cancelled += job.state() == v1::JOB_STATE_CANCELLED ? 1 : 0;
    result.restarts += job.proto.status().restarts();
  }
  return result;
}

}  // namespace

RunResult RunSimulation(const RunOptions& options) { return Simulation(options).Run(); }

}  // namespace ijepa::sim
