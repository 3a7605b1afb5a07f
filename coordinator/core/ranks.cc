// See ranks.h.
#include "coordinator/core/ranks.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "coordinator/core/checkpoints.h"
#include "coordinator/core/elastic.h"
#include "coordinator/core/gang.h"
#include "coordinator/core/keys.h"
#include "coordinator/core/progress.h"

namespace ijepa::coordinator {
namespace {

constexpr int kMaxProbes = 256;
constexpr size_t kMaxRendezvousKeys = 65536;
constexpr size_t kMaxRendezvousBytes = 65536;
constexpr size_t kMaxNoteBytes = 1024;
constexpr int kMaxSlowLinks = 16;

// One message and where it came from.
struct Context {
  Turn& turn;
  const Node& node;
  Job& job;
  const v1::RankMessage& message;

  Gang& gang() const { return *job.gang; }
  RankState& rank() const { return gang().ranks[message.rank()]; }
};

void Answer(const Context& at, v1::ToRank answer) {
  answer.set_sequence(at.message.message().sequence());
  at.turn.SendToRank(at.node, at.message, std::move(answer));
}

void Acknowledge(const Context& at) {
  if (at.message.message().sequence() == 0) return;
  v1::ToRank answer;
  answer.mutable_ack();
  Answer(at, std::move(answer));
}

void ListSlowRanks(const Gang& gang, v1::JobStatus& status) {
  status.clear_slow_ranks();
  for (const int rank : gang.slow_ranks) {
    v1::SlowRank& slow = *status.add_slow_ranks();
    slow.set_rank(rank);
    slow.set_node(gang.ranks[rank].node);
    slow.set_ratio(gang.work.Compare(rank, gang.ranks.size()).ratio);
  }
}

// Names the rank that the message is from if all wait for it, or takes the name back.
void JudgeSlowness(const Context& at) {
  Gang& gang = at.gang();
  RankState& rank = at.rank();
  const int r = at.message.rank();
  const std::optional<double> seconds = rank.work.SecondsPerStep();
  if (seconds.has_value()) gang.work.Set(r, *seconds);
  const WorkRatio work = gang.work.Compare(r, gang.ranks.size());
  const SlowVerdict::News news =
      rank.slowness.Take(work, at.turn.now.monotonic, at.turn.options.slow);
  if (rank.slowness.slow()) {
    gang.slow_ranks.insert(r);
  } else {
    gang.slow_ranks.erase(r);
  }
  ListSlowRanks(gang, *at.job.proto.mutable_status());
  if (news == SlowVerdict::News::kNone) return;
  at.turn.AddEvent(
      at.job,
      news == SlowVerdict::News::kNamed ? EventCode::kSlowRank : EventCode::kSlowRankCleared,
      absl::StrFormat("rank %d on %s: its own work takes %.2f times the median rank's, %.3g s "
                      "per step over its last %d reports; slow %d times in this attempt",
                      r, rank.node, work.ratio, seconds.value_or(0), WorkWindow::kReports,
                      rank.slowness.times()));
}

void TakeStep(const Context& at, const v1::StepReport& report) {
  RankState& rank = at.rank();
  if (rank.work.Take(report.step(), report.compute_seconds(), at.turn.now.monotonic,
                     at.turn.options.slow)) {
    JudgeSlowness(at);
  }
  const bool first = !std::exchange(rank.stepped, true);
  rank.step = std::max(rank.step, report.step());
  rank.watch.Step(report.step(), at.turn.now.monotonic);
  if (at.message.rank() == 0) {
    v1::StepReport stamped = report;
    if (!stamped.has_time()) *stamped.mutable_time() = ToProto(at.turn.now.wall);
    RecordStep(stamped, *at.job.proto.mutable_status(), at.job.curve_stride);
    MarkLive(at.turn.state, at.job);
  }
  Acknowledge(at);
  // Later ones change nothing that the gang is judged by.
  if (first) JudgeGang(at.turn, at.job);
}

void AnswerWaiters(const Context& at, const std::string& key, const std::string& value) {
  const auto found = at.gang().waiters.find(key);
  if (found == at.gang().waiters.end()) return;
  for (const Waiter& waiter : found->second) {
    const auto node = at.turn.state.nodes.find(at.gang().ranks[waiter.rank].node);
    if (node == at.turn.state.nodes.end()) continue;
    v1::RankMessage to;
    to.set_job_uid(at.message.job_uid());
    to.set_generation(at.message.generation());
    to.set_rank(waiter.rank);
    v1::ToRank answer;
    answer.set_sequence(waiter.sequence);
    answer.mutable_value()->set_key(key);
    answer.mutable_value()->set_value(value);
    at.turn.SendToRank(node->second, to, std::move(answer));
  }
  at.gang().waiters.erase(found);
}

void TakePut(const Context& at, const v1::RendezvousPut& put) {
  auto& keys = at.gang().rendezvous;
  const bool fits = put.value().size() <= kMaxRendezvousBytes &&
                    put.key().size() <= kMaxRendezvousBytes && keys.size() < kMaxRendezvousKeys;
  if (!fits) {
    at.turn.AddEvent(at.job, EventCode::kNote,
                     absl::StrCat("rank ", at.message.rank(), " put ", put.value().size(),
                                  " bytes as key ", keys.size(), " of the rendezvous; refused"));
  } else if (keys.try_emplace(put.key(), put.value()).second) {
    at.turn.Put(RendezvousKey(at.job.id, at.gang().generation, put.key()), put.value());
    AnswerWaiters(at, put.key(), put.value());
  }
  Acknowledge(at);
}

void TakeGet(const Context& at, const v1::RendezvousGet& get) {
  const auto found = at.gang().rendezvous.find(get.key());
  if (found != at.gang().rendezvous.end()) {
    v1::ToRank answer;
    answer.mutable_value()->set_key(get.key());
    answer.mutable_value()->set_value(found->second);
    Answer(at, std::move(answer));
    return;
  }
  if (at.gang().waiters.size() >= kMaxRendezvousKeys) return;
  std::vector<Waiter>& waiters = at.gang().waiters[get.key()];
  for (Waiter& waiter : waiters) {
    if (waiter.rank != at.message.rank()) continue;
    waiter.sequence = at.message.message().sequence();
    return;
  }
  waiters.push_back({at.message.rank(), at.message.message().sequence()});
}

void TakeCheckpoint(const Context& at, const v1::CheckpointReady& ready) {
  v1::ToRank answer;
  *answer.mutable_commit() = CommitCheckpoint(at.turn, at.job, ready.checkpoint());
  const bool committed = answer.commit().committed();
  Answer(at, std::move(answer));
  if (committed) GrowIfRoom(at.turn, at.job);
}

void TakeProbe(const Context& at, v1::ProbeReport probe) {
  auto* probes = at.job.proto.mutable_status()->mutable_probes();
  probe.set_generation(at.gang().generation);
  if (!probe.has_time()) *probe.mutable_time() = ToProto(at.turn.now.wall);
  // A restart repeats the steps after its checkpoint; the newest attempt's figures count.
  int place = 0;
  while (place < probes->size() && probes->Get(place).step() < probe.step()) ++place;
  const bool known = place < probes->size() && probes->Get(place).step() == probe.step();
  if (known || probes->size() < kMaxProbes) {
    at.turn.Put(ProbeKey(at.job.id, probe.step()), probe.SerializeAsString());
    at.turn.AddEvent(at.job, EventCode::kProbed,
                     absl::StrCat("step ", probe.step(), ": ", probe.scores_size(), " scores"));
    if (known) {
      *probes->Mutable(place) = std::move(probe);
    } else {
      *probes->Add() = std::move(probe);
      for (int i = probes->size() - 1; i > place; --i) probes->SwapElements(i, i - 1);
    }
  }
  Acknowledge(at);
}

void TakeNote(const Context& at, const v1::RankNote& note) {
  const int64_t sequence = at.message.message().sequence();
  const EventCode code = NoteCode(note.code());
  if (sequence == 0 || sequence > at.rank().last_note) {
    at.rank().last_note = std::max(at.rank().last_note, sequence);
    std::string text = note.message().substr(0, kMaxNoteBytes);
    if (code == EventCode::kNote) text = absl::StrCat(note.code().substr(0, 64), ": ", text);
    at.turn.AddEvent(at.job, code, absl::StrCat("rank ", at.message.rank(), ": ", text));
  }
  // Even when a later note overtook it: its effect is the same however often it is taken.
  if (code == EventCode::kResumed && at.message.rank() == 0) {
    RollBackTo(at.turn, at.job, note.step());
    at.job.attempt()->set_first_step(note.step());
    at.turn.TouchAttempt(at.job);
  }
  Acknowledge(at);
}

std::string DescribeLink(const v1::NetworkLink& link) {
  return absl::StrFormat("rank %d on %s to rank %d on %s %.3g Gbit/s", link.from_rank(),
                         link.from_node(), link.to_rank(), link.to_node(), link.gbps());
}

// Once per attempt, from rank 0. Nodes are named as they are known here.
void TakeNetwork(const Context& at, v1::NetworkCheck check) {
  v1::Attempt& attempt = *at.job.attempt();
  Acknowledge(at);
  if (attempt.has_network() || at.message.rank() != 0) return;
  const std::vector<RankState>& ranks = at.gang().ranks;
  const auto known = [&](v1::NetworkLink& link) {
    const int world = static_cast<int>(ranks.size());
    if (link.from_rank() < 0 || link.from_rank() >= world) return false;
    if (link.to_rank() < 0 || link.to_rank() >= world) return false;
    link.set_from_node(ranks[static_cast<size_t>(link.from_rank())].node);
    link.set_to_node(ranks[static_cast<size_t>(link.to_rank())].node);
    return true;
  };
  bool sound = known(*check.mutable_slowest()) && check.slow_size() <= kMaxSlowLinks;
  for (v1::NetworkLink& link : *check.mutable_slow()) sound = sound && known(link);
  if (!sound) return;
  std::string text =
      absl::StrFormat("bus bandwidth %.3g GB/s; slowest link: %s", check.bus_gigabytes_per_second(),
                      DescribeLink(check.slowest()));
  for (const v1::NetworkLink& link : check.slow()) {
    absl::StrAppend(&text, "; slow: ", DescribeLink(link));
  }
  at.turn.AddEvent(at.job, check.slow().empty() ? EventCode::kNetworkChecked : EventCode::kSlowLink,
                   text.substr(0, kMaxNoteBytes));
  *attempt.mutable_network() = std::move(check);
  at.turn.TouchAttempt(at.job);
}

// The job, if the message is from a rank of its live gang, on the node it was placed on.
Job* FindSender(Turn& turn, const std::string& node, const v1::RankMessage& message) {
  const Job* found = FindJobByUid(turn.state, message.job_uid());
  if (found == nullptr || !found->gang.has_value()) return nullptr;
  const Gang& gang = *found->gang;
  if (gang.generation != message.generation()) return nullptr;
  if (message.rank() < 0 || message.rank() >= static_cast<int>(gang.ranks.size())) return nullptr;
  const RankState& rank = gang.ranks[message.rank()];
  if (rank.node != node) return nullptr;
  // A rank that ended may have messages on the way; one on a node that was lost may not come back.
  if (rank.gone && rank.outcome == v1::RANK_OUTCOME_UNSPECIFIED) return nullptr;
  return &turn.state.jobs.at(found->id);
}

void Supersede(Turn& turn, const Node& node, const v1::RankMessage& message) {
  if (message.message().has_checkpoint()) {
    v1::ToRank refused;
    refused.set_sequence(message.message().sequence());
    refused.mutable_commit()->set_message(
        absl::StrCat("generation ", message.generation(), " is over"));
    turn.SendToRank(node, message, std::move(refused));
  }
  v1::ToRank superseded;
  superseded.mutable_superseded();
  turn.SendToRank(node, message, std::move(superseded));
}

}  // namespace

void HandleRankMessage(Turn& turn, const FromRankOn& command) {
  const auto found = turn.state.nodes_by_stream.find(command.stream);
  if (found == turn.state.nodes_by_stream.end()) return;
  Node& node = turn.state.nodes.at(found->second);
  Job* job = FindSender(turn, found->second, command.message);
  if (job == nullptr) {
    Supersede(turn, node, command.message);
    return;
  }
  const Context at{turn, node, *job, command.message};
  const v1::FromRank& body = command.message.message();
  switch (body.body_case()) {
    case v1::FromRank::kStep:
      return TakeStep(at, body.step());
    case v1::FromRank::kPut:
      return TakePut(at, body.put());
    case v1::FromRank::kGet:
      return TakeGet(at, body.get());
    case v1::FromRank::kCheckpoint:
      return TakeCheckpoint(at, body.checkpoint());
    case v1::FromRank::kProbe:
      return TakeProbe(at, body.probe());
    case v1::FromRank::kNote:
      return TakeNote(at, body.note());
    case v1::FromRank::kPhase:
      at.rank().watch.Enter(body.phase().phase(), turn.now.monotonic);
      return Acknowledge(at);
    case v1::FromRank::kNetwork:
      return TakeNetwork(at, body.network());
    case v1::FromRank::BODY_NOT_SET:
      return Acknowledge(at);
  }
}

}  // namespace ijepa::coordinator
