// One worker per state folder.
#ifndef IJEPA_WORKER_DAEMON_STATE_LOCK_H_
#define IJEPA_WORKER_DAEMON_STATE_LOCK_H_

#include <string>

#include "absl/status/statusor.h"
#include "common/file.h"

namespace ijepa::worker {

// Makes the folder and locks it for as long as the result lives. FailedPrecondition, naming the pid
// of the other worker, if one has it; and for a folder of another user where all may write.
absl::StatusOr<UniqueFd> LockStateFolder(const std::string& state_dir);

}  // namespace ijepa::worker

#endif  // IJEPA_WORKER_DAEMON_STATE_LOCK_H_
