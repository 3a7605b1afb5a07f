// See core.h.
#include "coordinator/core/core.h"

#include <algorithm>
#include <utility>

#include "absl/memory/memory.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "coordinator/core/allocations.h"
#include "coordinator/core/checkpoints.h"
#include "coordinator/core/dependencies.h"
#include "coordinator/core/gang.h"
#include "coordinator/core/jobs.h"
#include "coordinator/core/maintenance.h"
#include "coordinator/core/nodes.h"
#include "coordinator/core/placing.h"
#include "coordinator/core/quarantine.h"
#include "coordinator/core/ranks.h"
#include "coordinator/core/records.h"
#include "coordinator/core/sealing.h"
#include "coordinator/core/steering.h"
#include "coordinator/core/tick.h"
#include "coordinator/core/tokens.h"
#include "coordinator/core/turn.h"

namespace ijepa::coordinator {
namespace {

// Revisions of desired states rise over all epochs, without a write for each: the epoch is their
// upper half.
constexpr int kEpochShift = 32;

struct Dispatch {
  Turn& turn;

  void operator()(const CreateJob& command) { HandleCreateJob(turn, command); }
  void operator()(const CreateArray& command) { HandleCreateArray(turn, command); }
  void operator()(const CancelArray& command) { HandleCancelArray(turn, command); }
  void operator()(const CancelJob& command) { HandleCancelJob(turn, command); }
  void operator()(const SteerJob& command) { HandleSteerJob(turn, command); }
  void operator()(const ReleaseNode& command) { HandleReleaseNode(turn, command); }
  void operator()(const CordonNode& command) { HandleCordon(turn, command); }
  void operator()(const SetMaintenance& command) { HandleSetMaintenance(turn, command); }
  void operator()(const AddToken& command) { HandleAddToken(turn, command); }
  void operator()(const RevokeToken& command) { HandleRevokeToken(turn, command); }
  void operator()(const PinCheckpoint& command) { HandlePin(turn, command); }
  void operator()(const WorkerHello& command) { HandleHello(turn, command); }
  void operator()(const WorkerReport& command) { HandleReport(turn, command); }
  void operator()(const FromRankOn& command) { HandleRankMessage(turn, command); }
  void operator()(const StreamClosed& command) { HandleStreamClosed(turn, command); }
  void operator()(const AllocationWaits& command) { HandleAllocationWaits(turn, command); }
  void operator()(const AllocationGranted& command) { HandleAllocationGranted(turn, command); }
  void operator()(const AllocationEnded& command) { HandleAllocationEnded(turn, command); }
  void operator()(const RunScheduler&) { PlaceQueuedJobs(turn); }
  void operator()(const Tick&) { HandleTick(turn); }
  void operator()(const SealEnded&) { HandleSealEnded(turn); }
};

}  // namespace

absl::StatusOr<std::unique_ptr<Core>> Core::Restore(const CoreOptions& options, Fence fence,
                                                    const std::vector<KeyValue>& pairs, Now now) {
  const ScanPairs scan = [&pairs](absl::string_view prefix, const TakePair& take) {
    for (const KeyValue& pair : pairs) {
      if (absl::StartsWith(pair.key, prefix)) IJEPA_RETURN_IF_ERROR(take(pair));
    }
    return absl::OkStatus();
  };
  return Restore(options, fence, scan, {}, now);
}

absl::StatusOr<std::unique_ptr<Core>> Core::Restore(const CoreOptions& options, Fence fence,
                                                    Store& store, const HistoryCounts& past,
                                                    Now now) {
  const ScanPairs scan = [&store](absl::string_view prefix, const TakePair& take) {
    return store.Scan(prefix, take);
  };
  return Restore(options, fence, scan, past, now);
}

absl::StatusOr<std::unique_ptr<Core>> Core::Restore(const CoreOptions& options, Fence fence,
                                                    const ScanPairs& scan,
                                                    const HistoryCounts& past, Now now) {
  auto core = absl::WrapUnique(new Core(options));
  State& state = core->state_;
  IJEPA_ASSIGN_OR_RETURN(state, DecodeState(scan, options, now));
  state.epoch = fence.epoch;
  state.last_revision = std::max(fence.epoch << kEpochShift, fence.last_revision);
  state.last_number = std::max(state.last_number, past.last_number);
  for (const auto& [job_state, count] : past.jobs_by_state) {
    state.sealed_by_state[static_cast<v1::JobState>(job_state)] = count;
  }
  return core;
}

void Core::Lend(v1::SealedJob job) {
  std::string id = JobId(job.job().name());
  state_.lent.try_emplace(std::move(id), std::move(job));
}

void Core::GiveBack() { state_.lent.clear(); }

void Core::Forget(const std::map<int, int64_t>& by_state) {
  for (const auto& [job_state, count] : by_state) {
    state_.sealed_by_state[static_cast<v1::JobState>(job_state)] -= count;
  }
}

Outcome Core::Begin(Now now, bool restarted) {
  Turn turn(state_, options_, now);
  for (const auto& [name, node] : state_.nodes) turn.TouchNode(name);
  if (restarted) {
    for (const std::string& id : state_.active) {
      turn.AddEvent(state_.jobs.at(id), EventCode::kCoordinatorRestarted,
                    absl::StrCat("epoch ", state_.epoch, "; waiting for its workers"));
    }
  }
  JudgeMaintenance(turn);
  const std::set<std::string> active = state_.active;
  for (const std::string& id : active) JudgeGang(turn, state_.jobs.at(id));
  SettleDependents(turn);
  QueueUnblocked(turn);
  return turn.Finish();
}

Outcome Core::Apply(const Command& command, Now now) {
  Turn turn(state_, options_, now);
  std::visit(Dispatch{turn}, command);
  SettleDependents(turn);
  return turn.Finish();
}

}  // namespace ijepa::coordinator
