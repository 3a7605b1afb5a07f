// See events.h.
#include "coordinator/core/events.h"

namespace ijepa::coordinator {
namespace {

struct Entry {
  EventCode code;
  const char* name;
  // Ranks may report it themselves.
  bool note;
};

constexpr Entry kTable[] = {
    {EventCode::kSubmitted, "SUBMITTED", false},
    {EventCode::kStarted, "STARTED", false},
    {EventCode::kRunning, "RUNNING", false},
    {EventCode::kResumed, "RESUMED", true},
    {EventCode::kProbed, "PROBED", false},
    {EventCode::kCheckpointCommitted, "CHECKPOINT_COMMITTED", false},
    {EventCode::kCheckpointPinned, "CHECKPOINT_PINNED", false},
    {EventCode::kCheckpointUnpinned, "CHECKPOINT_UNPINNED", false},
    {EventCode::kCheckpointUnusable, "CHECKPOINT_UNUSABLE", true},
    {EventCode::kRolledBack, "ROLLED_BACK", false},
    {EventCode::kBadImage, "BAD_IMAGE", true},
    {EventCode::kDataStalled, "DATA_STALLED", true},
    {EventCode::kPrecisionFallback, "PRECISION_FALLBACK", true},
    {EventCode::kCollapseSuspected, "COLLAPSE_SUSPECTED", true},
    {EventCode::kCollapseCleared, "COLLAPSE_CLEARED", true},
    {EventCode::kNonFiniteSkipped, "NON_FINITE_SKIPPED", true},
    {EventCode::kNonFiniteRolledBack, "NON_FINITE_ROLLED_BACK", true},
    {EventCode::kNote, "NOTE", true},
    {EventCode::kRankExited, "RANK_EXITED", false},
    {EventCode::kDraining, "DRAINING", false},
    {EventCode::kGrowing, "GROWING", false},
    {EventCode::kPreempted, "PREEMPTED", false},
    {EventCode::kTimeLimit, "TIME_LIMIT", false},
    {EventCode::kMaintenance, "MAINTENANCE", false},
    {EventCode::kHang, "HANG", false},
    {EventCode::kStacksCollected, "STACKS_COLLECTED", false},
    {EventCode::kNetworkChecked, "NETWORK_CHECKED", false},
    {EventCode::kSlowLink, "SLOW_LINK", false},
    {EventCode::kSlowRank, "SLOW_RANK", false},
    {EventCode::kSlowRankCleared, "SLOW_RANK_CLEARED", false},
    {EventCode::kGpuError, "GPU_ERROR", false},
    {EventCode::kNodeQuarantined, "NODE_QUARANTINED", false},
    {EventCode::kStartDeadline, "START_DEADLINE", false},
    {EventCode::kRankGivenUp, "RANK_GIVEN_UP", false},
    {EventCode::kNodeUnreachable, "NODE_UNREACHABLE", false},
    {EventCode::kNodeBack, "NODE_BACK", false},
    {EventCode::kNodeLost, "NODE_LOST", false},
    {EventCode::kWorkerReconnected, "WORKER_RECONNECTED", false},
    {EventCode::kCoordinatorRestarted, "COORDINATOR_RESTARTED", false},
    {EventCode::kRestarting, "RESTARTING", false},
    {EventCode::kAllocationRequested, "ALLOCATION_REQUESTED", false},
    {EventCode::kAllocationRefused, "ALLOCATION_REFUSED", false},
    {EventCode::kAllocationEnded, "ALLOCATION_ENDED", false},
    {EventCode::kHeld, "HELD", false},
    {EventCode::kReleased, "RELEASED", false},
    {EventCode::kPauseRequested, "PAUSE_REQUESTED", false},
    {EventCode::kPaused, "PAUSED", false},
    {EventCode::kResumeRequested, "RESUME_REQUESTED", false},
    {EventCode::kForked, "FORKED", false},
    {EventCode::kCancelRequested, "CANCEL_REQUESTED", false},
    {EventCode::kSucceeded, "SUCCEEDED", false},
    {EventCode::kFailed, "FAILED", false},
    {EventCode::kCancelled, "CANCELLED", false},
};

}  // namespace

const char* EventName(EventCode code) {
  for (const Entry& entry : kTable) {
    if (entry.code == code) return entry.name;
  }
  return "NOTE";
}

bool IsRoutine(EventCode code) {
  return code == EventCode::kCheckpointCommitted || code == EventCode::kProbed ||
         code == EventCode::kBadImage || code == EventCode::kNonFiniteSkipped ||
         code == EventCode::kNonFiniteRolledBack || code == EventCode::kSlowRank ||
         code == EventCode::kSlowRankCleared || code == EventCode::kAllocationRequested ||
         code == EventCode::kAllocationRefused || code == EventCode::kAllocationEnded;
}

EventCode NoteCode(absl::string_view note) {
  for (const Entry& entry : kTable) {
    if (entry.note && note == entry.name) return entry.code;
  }
  return EventCode::kNote;
}

}  // namespace ijepa::coordinator
