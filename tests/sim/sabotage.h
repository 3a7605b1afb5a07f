// Bugs planted on purpose, to see that the checks of the simulator find them. They live around the
// core and the store, in the simulator alone: nothing in production knows of them.
#ifndef IJEPA_TESTS_SIM_SABOTAGE_H_
#define IJEPA_TESTS_SIM_SABOTAGE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "coordinator/core/command.h"
#include "coordinator/core/state.h"

namespace ijepa::sim {

enum class Sabotage {
  kNone,
  // Messages of ranks of older generations are taken as of the newest.
  kSkipFencing,
  // Replies and effects leave before the writes are durable.
  kEffectBeforeDurability,
  // The core believes each node to have twice its slots.
  kSlotsCountedTwice,
  // A job that has ended is queued again by a restart.
  kTerminalOverwritten,
  // Request ids are not stored.
  kLostRequestId,
  // Workers that died are still heard.
  kDeadNodeHeard,
  // The last rank of a gang is dropped from its stored attempt.
  kHalfGangKept,
  // Time never passes for the core: it is given no ticks.
  kDeadlineNeverJudged,
  // Committed checkpoints are not stored.
  kLostCheckpoint,
  // A crash leaves half of a batch.
  kTornCommit,
  // A restart keeps the epoch.
  kEpochReused,
  // The coordinator's own standstill counts as the silence of its workers.
  kStallTakenForSilence,
  // Nodes are never told to stop ranks that are no longer wanted.
  kRanksNeverStopped,
  // The scheduler is not run when it is asked for.
  kSchedulerForgotten,
};

struct PlantedBug {
  Sabotage sabotage;
  // For --sabotage.
  const char* name;
  // Runs from seed 1 within which it must be found.
  int runs;
};

// All but kNone.
const std::vector<PlantedBug>& PlantedBugs();

// How many commands to give to the core, spoilt as the bug would: 0 or 1.
bool SpoilCommand(Sabotage sabotage, const coordinator::State& state,
                  coordinator::Command& command);

// Spoils what is written.
void SpoilWrites(Sabotage sabotage, std::vector<coordinator::Write>& writes);

// Spoils what a restart reads.
void SpoilPairs(Sabotage sabotage, std::vector<coordinator::KeyValue>& pairs);

}  // namespace ijepa::sim

#endif  // IJEPA_TESTS_SIM_SABOTAGE_H_
