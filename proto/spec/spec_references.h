// Rules of what a job says of itself and of other jobs: labels and dependencies.
#ifndef IJEPA_PROTO_SPEC_SPEC_REFERENCES_H_
#define IJEPA_PROTO_SPEC_SPEC_REFERENCES_H_

#include <string>

#include "absl/strings/string_view.h"
#include "ijepa/v1/job.pb.h"

namespace ijepa::spec {

// Whether `text` may be the key of a label: [A-Za-z0-9], with "-", "_", ".", "/" between, at most
// 63 characters. A value may also be empty.
bool IsLabelKey(absl::string_view text);

// What is wrong with spec.labels or spec.depends_on, with value and rule; empty: nothing.
std::string LabelProblem(const v1::JobSpec& spec);
std::string DependencyProblem(const v1::JobSpec& spec);

}  // namespace ijepa::spec

#endif  // IJEPA_PROTO_SPEC_SPEC_REFERENCES_H_
