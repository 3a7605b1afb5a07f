// The life of an attempt: slots taken, ranks started, watched, cleared, and what its end means for
// the job.
#ifndef IJEPA_COORDINATOR_CORE_GANG_H_
#define IJEPA_COORDINATOR_CORE_GANG_H_

#include <string>
#include <vector>

#include "coordinator/core/turn.h"

namespace ijepa::coordinator {

// Takes the slots, counts the attempt and raises the generation, all in this turn: QUEUED ->
// STARTING. nodes[r] is the node of rank r.
void StartGang(Turn& turn, Job& job, const std::vector<std::string>& nodes);

// Notes a sign that the attempt failed; the one nearest to the cause is kept. Call JudgeGang
// afterwards.
void AddEvidence(Turn& turn, Job& job, v1::Evidence evidence);

// Whether what becomes of the gang's ranks and nodes is a sign of why it failed: while it is up,
// and while it is cleared because it failed: its first sign may be no more than a lost peer. Not
// where an earlier coordinator began to clear it: in what that was obeyed is not known.
bool SignsCount(const Job& job);

// Takes the gang out of the desired state of its nodes, which kills its ranks.
void ClearGang(Turn& turn, Job& job);

// Tells the live gang, which neither ends nor drains, to save and stop. The job goes on in the
// queue, but for StopCause::kTimeLimit.
void StopGang(Turn& turn, Job& job, StopCause cause, std::string message);

// Draws the conclusions from what is known of the ranks: recovery, RUNNING, or the end of the
// attempt.
void JudgeGang(Turn& turn, Job& job);

// Stops counting on ranks that are not gone; their nodes keep their slots until they report them
// gone.
void GiveUpRanks(Turn& turn, Job& job);

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_CORE_GANG_H_
