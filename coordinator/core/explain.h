// Why a job is where it is, who moves it on, and what one can do.
#ifndef IJEPA_COORDINATOR_CORE_EXPLAIN_H_
#define IJEPA_COORDINATOR_CORE_EXPLAIN_H_

#include "coordinator/core/options.h"
#include "ijepa/v1/coordinator.pb.h"

namespace ijepa::coordinator {

// Of a state that is not terminal: each has an owner, a deadline, or both.
struct StateRule {
  v1::JobState state;
  // Who or what moves the job on.
  const char* owner;
  // From state_time until it moves on whatever happens; infinite where the owner alone decides.
  absl::Duration (*deadline)(const CoreOptions& options);
  // What comes next by itself.
  const char* next;
  // What one can do, as commands; JOB is the job's id. Ends with null.
  const char* actions[4];
};

// Null for terminal states.
const StateRule* RuleOf(v1::JobState state);

v1::JobExplanation Explain(const v1::Job& job, const CoreOptions& options);

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_CORE_EXPLAIN_H_
