// Rules of the fields that the scheduler reads: queue, time_limit, priority_class, topology.
#ifndef IJEPA_PROTO_SPEC_SCHEDULE_RULES_H_
#define IJEPA_PROTO_SPEC_SCHEDULE_RULES_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ijepa/v1/job.pb.h"

namespace ijepa::spec {

// Queue of jobs that name none.
inline constexpr char kDefaultQueue[] = "default";

// Reads 90s, 45m, 12h or 1h30m. InvalidArgument, without the field's name, unless it is in
// [1s, 8760h].
absl::StatusOr<absl::Duration> ParseTimeLimit(absl::string_view text);

// 1 to 63 of a-z, 0-9 and -, without - at an end: names of jobs, queues and priority classes.
bool IsPlainName(absl::string_view name);

// What is wrong with these fields: path and the rest of the sentence.
std::vector<std::pair<std::string, std::string>> ScheduleViolations(const v1::JobSpec& spec);

}  // namespace ijepa::spec

#endif  // IJEPA_PROTO_SPEC_SCHEDULE_RULES_H_
