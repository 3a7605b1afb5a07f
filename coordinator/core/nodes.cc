// See nodes.h.
#include "coordinator/core/nodes.h"

#include <algorithm>
#include <map>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "coordinator/core/allocations.h"
#include "coordinator/core/failure_policy.h"
#include "coordinator/core/gang.h"
#include "coordinator/core/gpu_errors.h"
#include "coordinator/core/keys.h"
#include "coordinator/core/lifecycle.h"

namespace ijepa::coordinator {
namespace {

// (uid, generation, rank)
using RankId = std::tuple<std::string, int64_t, int>;
constexpr char kDrainingReason[] = "DRAINING";

using Reported = std::map<RankId, const v1::RankStatus*>;

Reported IndexReport(const v1::NodeReport& report) {
  Reported index;
  for (const v1::RankStatus& rank : report.ranks()) {
    index[{rank.job_uid(), rank.generation(), rank.rank()}] = &rank;
  }
  return index;
}

v1::Evidence EvidenceOfExit(Job& job, int number, const v1::RankExit& exit) {
  v1::Evidence evidence;
  evidence.set_kind(v1::EVIDENCE_KIND_EXIT);
  evidence.set_rank(number);
  evidence.set_node(job.gang->ranks[number].node);
  *evidence.mutable_xids() = XidsOf(*job.attempt(), number);
  *evidence.mutable_exit() = exit;
  if (exit.has_time()) *evidence.mutable_time() = exit.time();
  return evidence;
}

// The node has acted on its desired state with the gang as it is.
bool HasActed(const Gang& gang, const Node& node) {
  const auto revision = gang.revisions.find(node.info.node());
  return revision != gang.revisions.end() && node.observed >= revision->second;
}

// An end that may have come of our clearing the gang: it says nothing. One that its node reported
// before it acted on that did not, whatever the clocks say.
bool MayBeOurDoing(const Job& job, const Node& node, const v1::RankExit& exit) {
  const Gang& gang = *job.gang;
  if (!gang.clearing) return false;
  if (exit.has_time() && FromProto(exit.time()) <= gang.clearing_since) return false;
  // What a worker did before it was started again is not known.
  return node.observed == 0 || HasActed(gang, node) || !SignsCount(job);
}

// A process that ended.
void TakeExit(Turn& turn, Job& job, int number, const Node& node, const v1::RankExit& exit) {
  Gang& gang = *job.gang;
  RankState& rank = gang.ranks[number];
  rank.gone = true;
  rank.seen = true;
  rank.step = std::max(rank.step, exit.last_step());
  rank.outcome = exit.outcome();
  if (exit.outcome() == v1::RANK_OUTCOME_COMPLETED || exit.outcome() == v1::RANK_OUTCOME_DRAINED) {
    return;
  }
  if (MayBeOurDoing(job, node, exit)) return;
  v1::Evidence evidence = EvidenceOfExit(job, number, exit);
  turn.AddEvent(job, EventCode::kRankExited, DescribeFailure(Classify(evidence)));
  AddEvidence(turn, job, std::move(evidence));
}

// The node no longer has a rank that it had.
void TakeVanished(Turn& turn, Job& job, int number) {
  RankState& rank = job.gang->ranks[number];
  rank.gone = true;
  v1::Evidence evidence;
  evidence.set_kind(v1::EVIDENCE_KIND_VANISHED);
  evidence.set_rank(number);
  evidence.set_node(rank.node);
  evidence.mutable_exit()->set_message("its worker no longer knows it");
  turn.AddEvent(job, EventCode::kRankExited, DescribeFailure(Classify(evidence)));
  AddEvidence(turn, job, std::move(evidence));
}

void UpdateRank(Turn& turn, Job& job, int number, const Node& node, const v1::RankStatus& status) {
  RankState& rank = job.gang->ranks[number];
  rank.seen = true;
  rank.stacks_collected = rank.stacks_collected || status.stacks_collected();
  if (status.step() > rank.step) {
    rank.step = status.step();
    rank.watch.Step(status.step(), turn.now.monotonic);
  }
  if (status.phase() == v1::RANK_PHASE_TRAINING && status.step() > 0) rank.stepped = true;
  if (status.phase() == v1::RANK_PHASE_EXITED) TakeExit(turn, job, number, node, status.exit());
}

// A rank that should be on the node but is not in its report.
void JudgeAbsent(Turn& turn, Job& job, int number, const Node& node, bool restarted) {
  Gang& gang = *job.gang;
  const bool acted = HasActed(gang, node);
  if (gang.clearing && acted) {
    gang.ranks[number].gone = true;
  } else if (gang.ranks[number].seen && (acted || restarted) && SignsCount(job)) {
    TakeVanished(turn, job, number);
  }
}

// Says in the job's state which of its nodes lets it go. The event follows when the ranks have.
void NameDrainingNode(Turn& turn, Job& job, const std::string& name) {
  v1::JobStatus& status = *job.proto.mutable_status();
  const bool up = job.state() == v1::JOB_STATE_STARTING || job.state() == v1::JOB_STATE_RUNNING;
  if (!up || job.gang->clearing || status.reason().code() == kDrainingReason) return;
  *status.mutable_reason() =
      MakeReason(kDrainingReason, absl::StrCat("node ", name,
                                               " is draining: the ranks save at one step and "
                                               "stop, and the job goes on from there"));
  turn.Touch(job);
}

void TakeReport(Turn& turn, const std::string& name, const v1::NodeReport& report, bool restarted) {
  Node& node = turn.state.nodes.at(name);
  node.observed = report.observed_revision();
  if (node.draining != report.draining()) {
    node.draining = report.draining();
    turn.state.schedule_needed = true;
    turn.ReviewNode(name);
  }
  TakeGpuErrorsOf(turn, name, report);  // Before the ends that they may be the cause of.
  const Reported reported = IndexReport(report);
  int known = 0;
  const std::set<std::string> ids = node.jobs;
  for (const std::string& id : ids) {
    Job& job = turn.state.jobs.at(id);
    for (const int number : RanksOn(*job.gang, name)) {
      const auto found = reported.find({job.proto.uid(), job.gang->generation, number});
      if (found != reported.end() && found->second->phase() != v1::RANK_PHASE_EXITED) {
        known += job.gang->ranks[number].gone ? 0 : 1;
      }
      if (job.gang->ranks[number].gone) continue;
      if (found == reported.end()) {
        JudgeAbsent(turn, job, number, node, restarted);
      } else {
        UpdateRank(turn, job, number, node, *found->second);
      }
    }
    if (node.draining) NameDrainingNode(turn, job, name);
    JudgeGang(turn, job);
  }
  const int alive = static_cast<int>(std::count_if(
      report.ranks().begin(), report.ranks().end(),
      [](const v1::RankStatus& rank) { return rank.phase() != v1::RANK_PHASE_EXITED; }));
  const int foreign = std::max(0, alive - known);
  if (foreign == node.foreign_ranks) return;
  node.foreign_ranks = foreign;
  turn.state.schedule_needed = true;
  turn.ReviewNode(name);
}

void MoveNode(Turn& turn, const std::string& name, v1::NodeState to) {
  Node& node = turn.state.nodes.at(name);
  if (node.state == to) return;
  IJEPA_CHECK(MayMove(node.state, to));
  node.state = to;
  turn.PutNode(name, node);
  turn.state.schedule_needed = true;
}

void TellJobs(Turn& turn, const Node& node, EventCode code, const std::string& message) {
  for (const std::string& id : node.jobs) turn.AddEvent(turn.state.jobs.at(id), code, message);
}

void Heard(Turn& turn, const std::string& name) {
  Node& node = turn.state.nodes.at(name);
  node.last_seen = turn.now.monotonic;
  node.last_seen_wall = turn.now.wall;
  if (node.state == v1::NODE_STATE_UNREACHABLE) {
    MoveNode(turn, name, v1::NODE_STATE_READY);
    TellJobs(turn, node, EventCode::kNodeBack, absl::StrCat(name, " is heard again"));
  }
}

// A node whose silence was too long: its ranks are given up and its slots are gone with it.
void LoseNode(Turn& turn, const std::string& name) {
  Node& node = turn.state.nodes.at(name);
  MoveNode(turn, name, v1::NODE_STATE_LOST);
  if (node.stream != 0) {
    turn.Close(node.stream, absl::UnavailableError("silent for too long; connect again"));
    turn.state.nodes_by_stream.erase(node.stream);
    node.stream = 0;
  }
  node.foreign_ranks = 0;
  const std::set<std::string> ids = node.jobs;
  for (const std::string& id : ids) {
    Job& job = turn.state.jobs.at(id);
    const std::string message =
        absl::StrCat("node ", name, " was silent for ",
                     absl::FormatDuration(turn.options.lost_after), "; its slots are given up");
    turn.AddEvent(job, EventCode::kNodeLost, message);
    bool running = false;
    for (const int rank : RanksOn(*job.gang, name)) {
      running |= !job.gang->ranks[rank].gone;
      job.gang->ranks[rank].gone = true;
    }
    if (running && SignsCount(job)) {
      v1::Evidence evidence;
      evidence.set_kind(v1::EVIDENCE_KIND_NODE_LOST);
      evidence.set_rank(-1);
      evidence.set_node(name);
      evidence.mutable_exit()->set_message("silent for too long");
      AddEvidence(turn, job, std::move(evidence));
    }
    JudgeGang(turn, job);
  }
}

// Puts the node on this stream; an older stream of the node is closed.
void Attach(Turn& turn, Node& node, const WorkerHello& command) {
  const std::string& name = command.hello.info().node();
  if (node.stream != 0) {
    turn.state.nodes_by_stream.erase(node.stream);
    turn.Close(node.stream, absl::AbortedError(absl::StrCat(
                                "a newer stream of node ", name,
                                " replaced this one; if two workers share the name, rename one")));
  }
  node.stream = command.stream;
  turn.state.nodes_by_stream[command.stream] = name;
  node.info = command.hello.info();
  node.incarnation = command.hello.incarnation();
}

}  // namespace

void HandleHello(Turn& turn, const WorkerHello& command) {
  const std::string& name = command.hello.info().node();
  if (name.empty() || command.hello.info().slots() < 0) {
    turn.Close(command.stream, absl::InvalidArgumentError("hello without node, or slots below 0"));
    return;
  }
  if (command.hello.coordinator_epoch() > turn.state.epoch) {
    turn.Close(command.stream, absl::FailedPreconditionError(absl::StrCat(
                                   "worker ", name, " has seen epoch ",
                                   command.hello.coordinator_epoch(), ", this coordinator has ",
                                   turn.state.epoch, ": it runs on an old data folder")));
    return;
  }
  if (absl::Status bound = CheckBound(turn.state, command.hello.info()); !bound.ok()) {
    turn.Close(command.stream, std::move(bound));
    return;
  }
  const auto [found, is_new] = turn.state.nodes.try_emplace(name);
  Node& node = found->second;
  const bool restarted = !is_new && node.incarnation != command.hello.incarnation();
  Attach(turn, node, command);
  IndexBound(turn.state, node.info);
  node.state = v1::NODE_STATE_READY;
  node.last_seen = turn.now.monotonic;
  node.last_seen_wall = turn.now.wall;
  turn.PutNode(name, node);
  turn.state.schedule_needed = true;
  for (const std::string& id : node.jobs) {
    Job& job = turn.state.jobs.at(id);
    ForgiveRanks(*job.gang, turn.now.monotonic);
    turn.AddEvent(
        job, EventCode::kWorkerReconnected,
        absl::StrCat("worker of ", name, restarted ? " restarted and" : "", " connected; it runs ",
                     command.hello.report().ranks_size(), " ranks"));
  }
  v1::CoordinatorMessage welcome;
  welcome.mutable_welcome()->set_heartbeat_interval_seconds(
      absl::ToDoubleSeconds(turn.options.heartbeat_interval));
  welcome.mutable_welcome()->set_reattach_window_seconds(
      absl::ToDoubleSeconds(turn.options.reattach_window));
  turn.Send(node, std::move(welcome));
  TakeReport(turn, name, command.hello.report(), restarted);
  turn.TouchNode(name);
  if (node.info.has_allocation()) StartIfComplete(turn, node.info.allocation().job_uid());
}

void HandleReport(Turn& turn, const WorkerReport& command) {
  const auto found = turn.state.nodes_by_stream.find(command.stream);
  if (found == turn.state.nodes_by_stream.end()) return;
  const std::string name = found->second;
  Heard(turn, name);
  TakeReport(turn, name, command.report, false);
  // The acknowledgement keeps the worker's lease on its ranks; it repeats the desired state only
  // while the worker has not acted on it, because every desired state is answered by a report.
  const Node& node = turn.state.nodes.at(name);
  v1::CoordinatorMessage message;
  if (node.observed != node.revision) *message.mutable_desired() = node.desired;
  turn.Send(node, std::move(message));
}

void HandleStreamClosed(Turn& turn, const StreamClosed& command) {
  const auto found = turn.state.nodes_by_stream.find(command.stream);
  if (found == turn.state.nodes_by_stream.end()) return;
  turn.state.nodes.at(found->second).stream = 0;
  turn.ReviewNode(found->second);
  turn.state.nodes_by_stream.erase(found);
  turn.state.schedule_needed = true;
}

void JudgeNodes(Turn& turn, absl::Duration stalled) {
  std::vector<std::string> forgotten;
  for (auto& [name, node] : turn.state.nodes) {
    // One that was heard since the standstill gets no credit for it.
    if (node.state != v1::NODE_STATE_LOST) {
      node.last_seen = std::min(node.last_seen + stalled, turn.now.monotonic);
    }
    const absl::Duration silence = turn.now.monotonic - node.last_seen;
    if (node.state == v1::NODE_STATE_READY && silence >= turn.options.unreachable_after) {
      MoveNode(turn, name, v1::NODE_STATE_UNREACHABLE);
      TellJobs(turn, node, EventCode::kNodeUnreachable,
               absl::StrCat(name, " has been silent for ",
                            absl::FormatDuration(turn.options.unreachable_after)));
    }
    if (node.state == v1::NODE_STATE_UNREACHABLE && silence >= turn.options.lost_after) {
      LoseNode(turn, name);
    }
    // A worker of an allocation never comes back once it has ended.
    const bool over = node.info.has_allocation() ? node.stream == 0
                                                 : node.state == v1::NODE_STATE_LOST &&
                                                       silence >= turn.options.forget_node_after;
    if (over && node.jobs.empty()) forgotten.push_back(name);
  }
  for (const std::string& name : forgotten) {
    IndexBound(turn.state, turn.state.nodes.at(name).info, true);
    turn.state.nodes.erase(name);
    turn.Delete(NodeKey(name));
    turn.ReviewNode(name);
  }
}

}  // namespace ijepa::coordinator
