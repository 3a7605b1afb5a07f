// Rules of the section `kubernetes` of a job. They are those of the API server that can be told
// without one; what it refuses beyond them, the job's reason says in its words.
#ifndef IJEPA_PROTO_SPEC_KUBERNETES_RULES_H_
#define IJEPA_PROTO_SPEC_KUBERNETES_RULES_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "ijepa/v1/job.pb.h"

namespace ijepa::spec {

// Paths ("kubernetes.image") and what is wrong there, with value and rule.
std::vector<std::pair<std::string, std::string>> KubernetesViolations(
    const v1::KubernetesSpec& kubernetes);

// One line of JSON that says the same as the YAML map `text`. Words and numbers are typed as YAML
// 1.2 types them unless they are quoted. InvalidArgument for what is no map.
absl::StatusOr<std::string> YamlMapAsJson(absl::string_view text);

// The same of kubernetes.pod_patch. InvalidArgument also where metadata, its labels or spec are no
// maps, which no pod template takes.
absl::StatusOr<std::string> PodPatchAsJson(absl::string_view text);

}  // namespace ijepa::spec

#endif  // IJEPA_PROTO_SPEC_KUBERNETES_RULES_H_
