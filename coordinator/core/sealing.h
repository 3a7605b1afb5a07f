// The way of a job that has ended: a while in the live state, for workers that still talk of it and
// people who look, then sealed into history and out of memory.
#ifndef IJEPA_COORDINATOR_CORE_SEALING_H_
#define IJEPA_COORDINATOR_CORE_SEALING_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "coordinator/core/command.h"
#include "coordinator/core/state.h"
#include "coordinator/core/turn.h"

namespace ijepa::coordinator {

// Seals jobs that ended seal_after ago, oldest first, some per call; now and then has history
// forget what is older than keep_history.
void HandleSealEnded(Turn& turn);

// Ids of the jobs that `command` refers to and that are neither live nor lent, each once: to be
// looked up in history and lent (Core::Lend) before it is applied.
std::vector<std::string> PastJobsOf(const State& state, const Command& command);

// A lent job. Takes names as FindJob. Null if it was not lent.
v1::SealedJob* FindLent(State& state, absl::string_view name);

// How history keeps the job.
SealedRow RowOf(const v1::SealedJob& sealed);

// What lists show: without attempts, events, probes, curve and telemetry.
v1::Job BriefOf(const v1::Job& job);

// Labels by which lists find a job: its own, its array's and its project's. "key=value".
std::vector<std::string> SearchLabels(const v1::Job& job);

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_CORE_SEALING_H_
