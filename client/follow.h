// Follows a job to its end, through restarts of the coordinator. The loop behind `watch` and
// `submit --watch`.
#ifndef IJEPA_CLIENT_FOLLOW_H_
#define IJEPA_CLIENT_FOLLOW_H_

#include <cstdio>
#include <string>

#include "absl/time/time.h"
#include "client/context.h"
#include "client/exit_code.h"
#include "client/interrupt.h"

namespace ijepa::client {

struct FollowOptions {
  // Gives up after this long, with kTimeout; the job goes on.
  absl::Duration timeout = absl::InfiniteDuration();
  // Least time between two lines of figures where there is no terminal.
  absl::Duration interval = absl::Seconds(5);
  // stdout when following is the command, stderr when stdout carries other data.
  FILE* stream = stdout;
  // Says, when interrupted, that the job goes on.
  bool say_detached = true;
};

// Blocks until the job is terminal (kOk, kJobFailed, kJobCancelled), the timeout, or `interrupt`,
// which must call context.api().Cancel(). A coordinator that goes away after the first answer is
// waited for as long as ranks would go on without it.
ExitCode FollowJob(Context& context, Interrupt& interrupt, const std::string& name,
                   const FollowOptions& options);

// now + timeout, or for ever.
absl::Time DeadlineAfter(absl::Time now, absl::Duration timeout);

// Says that the command lets go of `job` and that it goes on; answers kInterrupted.
ExitCode SayDetached(Context& context, const std::string& job);

}  // namespace ijepa::client

#endif  // IJEPA_CLIENT_FOLLOW_H_
