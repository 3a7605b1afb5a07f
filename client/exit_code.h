// What ijepactl's exit code means. Documented in `ijepactl --help`, tested in tests/client.
#ifndef IJEPA_CLIENT_EXIT_CODE_H_
#define IJEPA_CLIENT_EXIT_CODE_H_

#include "absl/status/status.h"

namespace ijepa::client {

enum class ExitCode {
  kOk = 0,
  kFailed = 1,
  kUsage = 2,
  kNotFound = 3,
  kAuth = 4,
  // The request is fine but the state forbids it, as with more ranks than slots.
  kConflict = 5,
  // No coordinator, or it did not answer in time.
  kUnreachable = 6,
  kInvalidSpec = 7,
  kJobFailed = 8,
  kJobCancelled = 9,
  // A run was stopped before its job ended; the same command goes on with it.
  kStopped = 75,
  kTimeout = 124,
  kInterrupted = 130,
};

// The exit code for an error of the coordinator.
ExitCode ExitCodeFor(const absl::Status& status);

// The table of exit codes for --help.
const char* ExitCodeHelp();

}  // namespace ijepa::client

#endif  // IJEPA_CLIENT_EXIT_CODE_H_
