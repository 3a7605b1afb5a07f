// Where every thread of a rank stands, written into the rank's log before it is killed for a hang.
#ifndef IJEPA_WORKER_DAEMON_STACK_DUMP_H_
#define IJEPA_WORKER_DAEMON_STACK_DUMP_H_

#include <sys/types.h>

#include <string>

#include "absl/status/status.h"

namespace ijepa::worker {

// Appends one line per thread to the log, from /proc: name, state, the system call it is in and
// where the kernel holds it; that also tells of a process that is stopped. Then asks each thread,
// where the process has a handler for it (worker/rank/stack_signal.h), to write its own stack
// there, which happens after the return. At most kMaxThreads. Never blocks.
absl::Status RequestStacks(pid_t pid, const std::string& log);

inline constexpr int kMaxStackThreads = 128;

}  // namespace ijepa::worker

#endif  // IJEPA_WORKER_DAEMON_STACK_DUMP_H_
