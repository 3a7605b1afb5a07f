// See sabotage.h.
#include "sabotage.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "coordinator/core/lifecycle.h"
#include "coordinator/core/state.h"
#include "ijepa/v1/storage.pb.h"

namespace ijepa::sim {

using coordinator::FromRankOn;
using coordinator::Job;
using coordinator::WorkerHello;

const std::vector<PlantedBug>& PlantedBugs() {
  static const auto* const bugs = new std::vector<PlantedBug>{
      {Sabotage::kSkipFencing, "skip-fencing", 200},
      {Sabotage::kEffectBeforeDurability, "effect-before-durability", 50},
      {Sabotage::kSlotsCountedTwice, "slots-counted-twice", 10},
      {Sabotage::kTerminalOverwritten, "terminal-overwritten", 50},
      {Sabotage::kLostRequestId, "lost-request-id", 50},
      {Sabotage::kDeadNodeHeard, "dead-node-heard", 50},
      {Sabotage::kHalfGangKept, "half-gang-kept", 50},
      {Sabotage::kDeadlineNeverJudged, "deadline-never-judged", 50},
      {Sabotage::kLostCheckpoint, "lost-checkpoint", 50},
      {Sabotage::kTornCommit, "torn-commit", 100},
      {Sabotage::kEpochReused, "epoch-reused", 50},
      {Sabotage::kStallTakenForSilence, "stall-taken-for-silence", 100},
      {Sabotage::kRanksNeverStopped, "ranks-never-stopped", 50},
      {Sabotage::kSchedulerForgotten, "scheduler-forgotten", 10},
  };
  return *bugs;
}

bool SpoilCommand(Sabotage sabotage, const coordinator::State& state,
                  coordinator::Command& command) {
  if (sabotage == Sabotage::kDeadlineNeverJudged) {
    return !std::holds_alternative<coordinator::Tick>(command);
  }
  if (sabotage == Sabotage::kSlotsCountedTwice) {
    if (auto* hello = std::get_if<WorkerHello>(&command)) {
      hello->hello.mutable_info()->set_slots(2 * hello->hello.info().slots());
    }
  }
  if (sabotage == Sabotage::kSkipFencing) {
    if (auto* from = std::get_if<FromRankOn>(&command)) {
      const Job* job = coordinator::FindJobByUid(state, from->message.job_uid());
      const bool live = job != nullptr && job->gang.has_value();
      if (live && from->message.generation() < job->gang->generation) {
        from->message.set_generation(job->gang->generation);
        // Wherever it comes from: the place of a rank is a fence, too.
        const size_t rank = static_cast<size_t>(from->message.rank());
        if (rank >= job->gang->ranks.size()) return true;
        const auto node = state.nodes.find(job->gang->ranks[rank].node);
        if (node != state.nodes.end() && node->second.stream != 0) {
          from->stream = node->second.stream;
        }
      }
    }
  }
  return true;
}

void SpoilWrites(Sabotage sabotage, std::vector<coordinator::Write>& writes) {
  const auto drop = [&](absl::string_view prefix) {
    std::erase_if(writes, [&](const coordinator::Write& write) {
      return write.value.has_value() && absl::StartsWith(write.key, prefix);
    });
  };
  if (sabotage == Sabotage::kLostRequestId) drop("request/");
  if (sabotage == Sabotage::kLostCheckpoint) drop("checkpoint/");
  if (sabotage != Sabotage::kHalfGangKept) return;
  for (coordinator::Write& write : writes) {
    if (!absl::StartsWith(write.key, "attempt/") || !write.value.has_value()) continue;
    v1::Attempt attempt;
    if (!attempt.ParseFromString(*write.value) || attempt.placements_size() < 2) continue;
    attempt.mutable_placements()->RemoveLast();
    write.value = attempt.SerializeAsString();
  }
}

void SpoilPairs(Sabotage sabotage, std::vector<coordinator::KeyValue>& pairs) {
  if (sabotage != Sabotage::kTerminalOverwritten) return;
  for (coordinator::KeyValue& pair : pairs) {
    if (!absl::StartsWith(pair.key, "job/")) continue;
    v1::StoredJob stored;
    if (!stored.ParseFromString(pair.value)) continue;
    v1::JobStatus& status = *stored.mutable_job()->mutable_status();
    if (!coordinator::IsTerminal(status.state())) continue;
    status.set_state(v1::JOB_STATE_QUEUED);
    pair.value = stored.SerializeAsString();
  }
}

}  // namespace ijepa::sim
