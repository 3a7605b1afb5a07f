// See sim_gangs.h.
#include "sim_gangs.h"

#include <algorithm>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace ijepa::sim {
namespace {

v1::RankExit ExitWith(v1::RankOutcome outcome, const std::string& code) {
  v1::RankExit exit;
  exit.set_outcome(outcome);
  exit.set_status_code(code);
  exit.set_exit_code(outcome == v1::RANK_OUTCOME_FAILED ? 1 : 0);
  return exit;
}

}  // namespace

std::string FolderOf(const std::string& uid, int64_t step, int64_t generation) {
  return absl::StrCat("/checkpoints/", uid, "/step-", step, ".g", generation);
}

int64_t GenerationOfFolder(const std::string& folder) {
  const size_t at = folder.rfind(".g");
  int64_t generation = 0;
  if (at == std::string::npos || !absl::SimpleAtoi(folder.substr(at + 2), &generation)) return 0;
  return generation;
}

SimRank* SimGangs::Find(const Member& member) {
  const auto found = member.node->ranks().find(member.key);
  if (found == member.node->ranks().end()) return nullptr;
  SimRank& rank = found->second;
  return rank.pid == member.pid && !rank.exited ? &rank : nullptr;
}

void SimGangs::Started(SimNode& node, SimRank& rank) {
  const Member member{&node, rank.key, rank.pid};
  gangs_[IdOf(rank.key)].members[rank.key.rank] = member;
  gangs_[IdOf(rank.key)].total = static_cast<int64_t>(rank.launch.spec().optimization().epochs());
  events_.After(random_.Within(absl::Milliseconds(200), absl::Seconds(3)),
                [this, member] { Load(member); });
}

// Reads what it resumes from, and goes to the rendezvous.
void SimGangs::Load(const Member& member) {
  SimRank* rank = Find(member);
  if (rank == nullptr) return;
  if (rank->key.rank == 0) {
    Resume(*member.node, *rank);
    v1::FromRank put;
    put.mutable_put()->set_key("root");
    put.mutable_put()->set_value(absl::StrCat(rank->pid));
    member.node->FromRank(*rank, put, true);
  }
  v1::FromRank get;
  get.mutable_get()->set_key("root");
  member.node->FromRank(*rank, get, true);
}

void SimGangs::Resume(SimNode& node, SimRank& rank) {
  Gang& gang = gangs_[IdOf(rank.key)];
  for (const v1::Checkpoint& checkpoint : rank.launch.resume()) {
    if (folders_.count(checkpoint.path()) == 0 || random_.Chance(options_.unreadable)) continue;
    gang.step = checkpoint.step();
    break;
  }
  v1::FromRank note;
  note.mutable_note()->set_code("RESUMED");
  note.mutable_note()->set_step(gang.step);
  node.FromRank(rank, note, true);
}

void SimGangs::Say(const Member& member, v1::RunPhase phase) {
  SimRank* rank = Find(member);
  if (rank == nullptr) return;
  v1::FromRank message;
  message.mutable_phase()->set_phase(phase);
  member.node->FromRank(*rank, message, true);
}

void SimGangs::Told(SimNode& node, SimRank& rank, const v1::ToRank& message) {
  const GangId id = IdOf(rank.key);
  Gang& gang = gangs_[id];
  if (message.has_value()) return Meet({&node, rank.key, rank.pid});
  if (message.has_superseded()) {
    return node.EndRank(rank, ExitWith(v1::RANK_OUTCOME_FAILED, "CANCELLED"));
  }
  if (message.has_drain()) {
    gang.drain = true;
    // Not yet stepping: it has nothing to save.
    if (gang.step == 0 && !gang.stepping) {
      node.EndRank(rank, ExitWith(v1::RANK_OUTCOME_DRAINED, "OK"));
    }
    return;
  }
  if (!message.has_commit() || rank.key.rank != 0) return;
  for (const std::string& path : message.commit().deletable()) folders_.erase(path);
  if (gang.ending) Finish(id);
}

void SimGangs::Meet(const Member& member) {
  SimRank* rank = Find(member);
  if (rank == nullptr || rank->training || rank->hung) return;
  const GangId id = IdOf(rank->key);
  Gang& gang = gangs_[id];
  gang.ready[rank->key.rank] = member;
  if (!Whole(gang) || gang.stepping) return;
  gang.stepping = true;
  for (const auto& [number, each] : gang.ready) {
    Find(each)->training = true;
    Say(each, v1::RUN_PHASE_TRAINING);
  }
  ScheduleStep(id);
}

bool SimGangs::Whole(const Gang& gang) const {
  if (gang.ready.empty()) return false;
  const SimRank* first = Find(gang.ready.begin()->second);
  if (first == nullptr) return false;
  if (static_cast<int>(gang.ready.size()) < first->launch.world_size()) return false;
  return std::all_of(gang.ready.begin(), gang.ready.end(), [](const auto& entry) {
    const SimRank* rank = Find(entry.second);
    return rank != nullptr && !rank->hung;
  });
}

void SimGangs::ScheduleStep(const GangId& id) {
  events_.After(options_.step * random_.Within(90, 110) / 100, [this, id] { Step(id); });
}

void SimGangs::Step(const GangId& id) {
  Gang& gang = gangs_[id];
  // With one missing the collective stands still.
  if (!Whole(gang) || gang.ending) return;
  ++gang.step;
  for (const auto& [number, member] : gang.ready) {
    SimRank* rank = Find(member);
    rank->step = gang.step;
    v1::FromRank message;
    message.mutable_step()->set_step(gang.step);
    message.mutable_step()->set_loss(1);
    member.node->FromRank(*rank, message, false);
  }
  const bool over = gang.step >= gang.total;
  if (over || gang.drain) {
    gang.ending = true;
    gang.outcome = over ? v1::RANK_OUTCOME_COMPLETED : v1::RANK_OUTCOME_DRAINED;
    for (const auto& [number, member] : gang.ready) Say(member, v1::RUN_PHASE_SAVING);
    return Offer(id, true);
  }
  if (gang.step % options_.checkpoint_every == 0) Offer(id, false);
  ScheduleStep(id);
}

void SimGangs::Offer(const GangId& id, bool last) {
  Gang& gang = gangs_[id];
  const Member member = gang.ready.at(0);
  const int64_t step = gang.step;
  // The copy is written while training goes on.
  events_.After(random_.Within(absl::Milliseconds(50), absl::Seconds(2)), [=, this] {
    SimRank* rank = Find(member);
    if (rank == nullptr || rank->hung) return;
    const std::string folder = FolderOf(id.first, step, id.second);
    folders_.insert(folder);
    v1::FromRank message;
    v1::Checkpoint& checkpoint = *message.mutable_checkpoint()->mutable_checkpoint();
    checkpoint.set_step(step);
    checkpoint.set_path(folder);
    if (last) gangs_[id].last_folder = folder;
    member.node->FromRank(*rank, message, true);
  });
}

// The last save is answered: all end.
void SimGangs::Finish(const GangId& id) {
  Gang& gang = gangs_[id];
  const Member first = gang.ready.at(0);
  const SimRank* rank = Find(first);
  if (rank == nullptr) return;
  // An earlier offer may be answered before the last.
  for (const auto& [sequence, said] : rank->unanswered) {
    if (said.has_checkpoint()) return;
  }
  if (gang.last_folder.empty()) return;
  for (const auto& [number, member] : gang.ready) {
    events_.After(random_.Within(absl::Milliseconds(5), absl::Milliseconds(300)), [=, this] {
      if (SimRank* each = Find(member)) {
        member.node->EndRank(*each, ExitWith(gangs_[id].outcome, "OK"));
      }
    });
  }
}

void SimGangs::Ended(SimNode&, SimRank& rank) {
  const GangId id = IdOf(rank.key);
  Gang& gang = gangs_[id];
  gang.ready.erase(rank.key.rank);
  gang.members.erase(rank.key.rank);
  if (rank.exit.outcome() == v1::RANK_OUTCOME_COMPLETED) return;
  if (rank.exit.outcome() == v1::RANK_OUTCOME_DRAINED && gang.ending) return;
  LosePeer(id);
}

// The others see that a peer is gone, or wait for it for ever.
void SimGangs::LosePeer(const GangId& id) {
  for (const auto& [number, member] : gangs_[id].members) {
    if (random_.Chance(0.15)) continue;
    events_.After(random_.Within(absl::Milliseconds(100), absl::Seconds(3)),
                  [this, member = member] {
                    if (SimRank* rank = Find(member)) {
                      member.node->EndRank(*rank, ExitWith(v1::RANK_OUTCOME_FAILED, "ABORTED"));
                    }
                  });
  }
}

void SimGangs::Break(SimNode& node, SimRank& rank, int how) {
  static constexpr const char* kCodes[] = {"INVALID_ARGUMENT", "OUT_OF_RANGE", "RESOURCE_EXHAUSTED",
                                           "DATA_LOSS",        "UNAVAILABLE",  "INTERNAL",
                                           "DEADLINE_EXCEEDED"};
  constexpr int kCodeCount = 7;
  how %= kCodeCount + 9;
  if (how < 5) {
    rank.hung = true;
    return;
  }
  if (how < 9) {
    v1::RankExit exit = ExitWith(v1::RANK_OUTCOME_FAILED, "");
    exit.set_signal(how % 2 == 0 ? 9 : 11);
    return node.EndRank(rank, exit);
  }
  // A user's error ends the job for good: rarer than the rest.
  if (how == 9 && random_.Chance(0.7)) ++how;
  node.EndRank(rank, ExitWith(v1::RANK_OUTCOME_FAILED, kCodes[how - 9]));
}

}  // namespace ijepa::sim
