// The one table of legal moves of jobs, of attempts, of allocations and of nodes.
#ifndef IJEPA_COORDINATOR_CORE_LIFECYCLE_H_
#define IJEPA_COORDINATOR_CORE_LIFECYCLE_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "ijepa/v1/cluster.pb.h"
#include "ijepa/v1/job.pb.h"

namespace ijepa::coordinator {

// Outcomes of attempts (v1::Attempt::outcome).
inline constexpr char kAttemptRunning[] = "RUNNING";
inline constexpr char kAttemptCompleted[] = "COMPLETED";
inline constexpr char kAttemptFailed[] = "FAILED";
inline constexpr char kAttemptDrained[] = "DRAINED";

struct JobMove {
  v1::JobState from;
  v1::JobState to;
  // What makes it happen.
  const char* trigger;
};

struct NodeMove {
  v1::NodeState from;
  v1::NodeState to;
  const char* trigger;
};

// From outcome to outcome; the first has none.
struct AttemptMove {
  absl::string_view from;
  absl::string_view to;
  const char* trigger;
};

struct AllocationMove {
  v1::AllocationPhase from;
  v1::AllocationPhase to;
  const char* trigger;
};

const std::vector<JobMove>& JobMoves();
const std::vector<NodeMove>& NodeMoves();
const std::vector<AttemptMove>& AttemptMoves();
const std::vector<AllocationMove>& AllocationMoves();

bool MayMove(v1::JobState from, v1::JobState to);
bool MayMove(v1::NodeState from, v1::NodeState to);
bool MayMove(v1::AllocationPhase from, v1::AllocationPhase to);
bool MayMove(absl::string_view from, absl::string_view to);

// Moves along the table, or stays; ends the program for what is not in it.
void SetOutcome(v1::Attempt& attempt, absl::string_view to);
void SetPhase(v1::Allocation& allocation, v1::AllocationPhase to);

// Terminal states are never left.
bool IsTerminal(v1::JobState state);

// Ranks were asked to save and stop for good, or for a while: CANCELLING, PAUSING.
bool IsStopping(v1::JobState state);

// RUNNING for JOB_STATE_RUNNING.
std::string ShortName(v1::JobState state);
// READY for NODE_STATE_READY.
std::string ShortName(v1::NodeState state);

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_CORE_LIFECYCLE_H_
