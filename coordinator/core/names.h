// Names of jobs, arrays and checkpoints as clients write them: projects/{project}/jobs/{job}, or
// the id alone, which is of the default project. Ids are unique over all projects.
#ifndef IJEPA_COORDINATOR_CORE_NAMES_H_
#define IJEPA_COORDINATOR_CORE_NAMES_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace ijepa::coordinator {

inline constexpr char kDefaultProject[] = "default";
// Of grants and lists: every project.
inline constexpr char kAllProjects[] = "*";

std::string JobName(absl::string_view project, absl::string_view id);
std::string ArrayName(absl::string_view project, absl::string_view id);

// The id in the name of a job or an array; a name of no such form is given back.
std::string JobId(absl::string_view name);
std::string ArrayId(absl::string_view name);

// The project in any such name; kDefaultProject for an id alone.
std::string ProjectOf(absl::string_view name);

// With the project: what stands for a job, or something below it, of `project` if it is an id
// alone.
std::string WholeJobName(absl::string_view name, absl::string_view project = kDefaultProject);

// Whether a name that was asked for means the thing of that whole name. An id alone means any: it
// comes from the coordinator itself.
bool IsMeantBy(absl::string_view asked, absl::string_view whole);

// "@project=ID" and "@array=ID", by which lists find jobs. No label of a spec begins so.
std::string ProjectLabel(absl::string_view project);
std::string ArrayLabel(absl::string_view array);

// The answer to those who name a job that there is not.
absl::Status NoJob(absl::string_view name);

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_CORE_NAMES_H_
