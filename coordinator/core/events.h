// The closed list of event codes of a job's history.
#ifndef IJEPA_COORDINATOR_CORE_EVENTS_H_
#define IJEPA_COORDINATOR_CORE_EVENTS_H_

#include <string>

#include "absl/strings/string_view.h"

namespace ijepa::coordinator {

enum class EventCode {
  kSubmitted,
  kStarted,
  kRunning,
  kResumed,
  kProbed,
  kCheckpointCommitted,
  kCheckpointUnusable,
  kCheckpointPinned,
  kCheckpointUnpinned,
  kRolledBack,
  kBadImage,
  kDataStalled,
  kPrecisionFallback,
  kCollapseSuspected,
  kCollapseCleared,
  kNonFiniteSkipped,
  kNonFiniteRolledBack,
  kNote,
  kRankExited,
  kDraining,
  kGrowing,
  kPreempted,
  kTimeLimit,
  kMaintenance,
  kHang,
  kStacksCollected,
  kNetworkChecked,
  kSlowLink,
  kSlowRank,
  kSlowRankCleared,
  kGpuError,
  kNodeQuarantined,
  kStartDeadline,
  kRankGivenUp,
  kNodeUnreachable,
  kNodeBack,
  kNodeLost,
  kWorkerReconnected,
  kCoordinatorRestarted,
  kRestarting,
  kAllocationRequested,
  kAllocationRefused,
  kAllocationEnded,
  kHeld,
  kReleased,
  kPauseRequested,
  kPaused,
  kResumeRequested,
  kForked,
  kCancelRequested,
  kSucceeded,
  kFailed,
  kCancelled,
};

// Events kept per job, and of one code. Of a code that comes more often the newest are kept, and
// the others are merged into the oldest of these, with their count; so is the oldest of the most
// frequent code where all together are too many. What is rare is never pushed out by what is not.
inline constexpr int kMaxEvents = 200;
inline constexpr int kMaxEventsOfCode = 20;
// Of a code that a run which goes on may repeat without an end.
inline constexpr int kMaxRoutineEvents = 5;

// Upper case, as in Event.code.
const char* EventName(EventCode code);

// Whether runs that go on repeat it.
bool IsRoutine(EventCode code);

// The event for a rank's note; kNote for a code that is not in the list of notes.
EventCode NoteCode(absl::string_view note);

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_CORE_EVENTS_H_
