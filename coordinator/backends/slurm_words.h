// SLURM's words, and ours for them: states of its jobs, why they wait, what it refuses. Pure.
#ifndef IJEPA_COORDINATOR_BACKENDS_SLURM_WORDS_H_
#define IJEPA_COORDINATOR_BACKENDS_SLURM_WORDS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "coordinator/backends/backend.h"

namespace ijepa::coordinator {

struct SlurmState {
  // As squeue writes it.
  const char* name;
  ObservedPhase phase;
  // Of kEnded.
  AllocationEnd end;
};

// The one table of them. A name that is not in it counts as running: it is looked at again.
const std::vector<SlurmState>& SlurmStates();
SlurmState SlurmStateOf(absl::string_view name);

// What can be done about a reason to wait or an error of SLURM; empty: nothing but waiting.
std::string SlurmAdvice(absl::string_view words);

// What sbatch's errors mean: Unavailable where the controller was not reached, else
// FailedPrecondition with its own words, then our advice.
absl::Status SlurmError(absl::string_view program, absl::string_view errors);

// A SLURM job as it is told of, by whatever way.
struct SlurmJob {
  std::string number;
  std::string name;
  std::string state;
  std::string reason;
  // "vn[0-1],x3"; empty while it waits.
  std::string nodes;
  int64_t restarts = 0;
  // As of wait(2).
  int64_t exit_status = 0;
};

// `prefix` is what its name begins with, and is taken off.
ObservedAllocation ObserveSlurmJob(const SlurmJob& job, absl::string_view prefix);

// Whether a node in this state, of sinfo's, may be given work now.
bool IsUsableSlurmNode(absl::string_view state);

// Format of squeue for ParseSqueue.
inline constexpr char kSqueueFormat[] =
    "JobID:|,Name:|,State:|,Reason:|,NodeList:|,RestartCnt:|,exit_code:|";

// The lines of squeue in kSqueueFormat whose names begin with `prefix`, which is taken off.
// Internal for a line of another form.
absl::StatusOr<std::vector<ObservedAllocation>> ParseSqueue(absl::string_view text,
                                                            absl::string_view prefix);

// The lines of `sinfo --format=%N|%T|%E`.
std::vector<BackendNode> ParseSinfo(absl::string_view text);

// 90 s as "0:01:30".
std::string SlurmTime(absl::Duration time);

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_BACKENDS_SLURM_WORDS_H_
