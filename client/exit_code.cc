// See exit_code.h.
#include "client/exit_code.h"

namespace ijepa::client {

ExitCode ExitCodeFor(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return ExitCode::kOk;
    case absl::StatusCode::kNotFound:
      return ExitCode::kNotFound;
    case absl::StatusCode::kUnauthenticated:
    case absl::StatusCode::kPermissionDenied:
      return ExitCode::kAuth;
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kAborted:
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kResourceExhausted:
      return ExitCode::kConflict;
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
      return ExitCode::kUnreachable;
    case absl::StatusCode::kInvalidArgument:
      return ExitCode::kInvalidSpec;
    default:
      return ExitCode::kFailed;
  }
}

const char* ExitCodeHelp() {
  return "Exit codes:\n"
         "  0    done\n"
         "  1    failed for another reason than those below\n"
         "  2    wrong command line\n"
         "  3    no such job\n"
         "  4    not allowed\n"
         "  5    conflict with the present state, as with more ranks than slots\n"
         "  6    coordinator unreachable, or no answer in time\n"
         "  7    job file or its data invalid\n"
         "  8    the watched job ended FAILED\n"
         "  9    the watched job was cancelled\n"
         "  75   run: stopped before the job ended; the same command goes on with it\n"
         "  124  --timeout passed\n"
         "  130  interrupted with Ctrl-C; the job goes on";
}

}  // namespace ijepa::client
