// What a status says to programs beside its message, as payloads that the services send on as a
// google.rpc.Status. Reasons: docs/API.md.
#ifndef IJEPA_COORDINATOR_CORE_ERROR_DETAILS_H_
#define IJEPA_COORDINATOR_CORE_ERROR_DETAILS_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace ijepa::coordinator {

// Adds an ErrorInfo: `reason` from the list of docs/API.md; `subject` is the job, node or setting
// that it is about, if it is about one.
absl::Status WithReason(absl::Status status, absl::string_view reason,
                        absl::string_view subject = "");

// Adds a RetryInfo: the same call may succeed after `delay`.
absl::Status WithRetry(absl::Status status, absl::Duration delay);

// ResourceExhausted, with OVERLOADED and a RetryInfo: as much as may be waits or is open. `what`:
// "1024 logs are being read".
absl::Status Overloaded(absl::string_view what);

// Adds a BadRequest with one violation per line of the message: what spec::Validate gives.
absl::Status WithViolations(absl::Status status);

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_CORE_ERROR_DETAILS_H_
