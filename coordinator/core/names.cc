// See names.h.
#include "coordinator/core/names.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace ijepa::coordinator {
namespace {

constexpr char kProjects[] = "projects/";
constexpr char kJobs[] = "/jobs/";
constexpr char kArrays[] = "/arrays/";

std::string IdAfter(absl::string_view name, absl::string_view kind) {
  const size_t found = absl::StartsWith(name, kProjects) ? name.find(kind) : name.npos;
  return std::string(found == name.npos ? name : name.substr(found + kind.size()));
}

}  // namespace

std::string JobName(absl::string_view project, absl::string_view id) {
  return absl::StrCat(kProjects, project, kJobs, id);
}

std::string ArrayName(absl::string_view project, absl::string_view id) {
  return absl::StrCat(kProjects, project, kArrays, id);
}

std::string JobId(absl::string_view name) { return IdAfter(name, kJobs); }

std::string ArrayId(absl::string_view name) { return IdAfter(name, kArrays); }

std::string ProjectOf(absl::string_view name) {
  if (!absl::ConsumePrefix(&name, kProjects)) return kDefaultProject;
  return std::string(name.substr(0, name.find('/')));
}

std::string WholeJobName(absl::string_view name, absl::string_view project) {
  return absl::StartsWith(name, kProjects) ? std::string(name) : JobName(project, name);
}

bool IsMeantBy(absl::string_view asked, absl::string_view whole) {
  return !absl::StartsWith(asked, kProjects) || asked == whole;
}

std::string ProjectLabel(absl::string_view project) { return absl::StrCat("@project=", project); }

std::string ArrayLabel(absl::string_view array) { return absl::StrCat("@array=", ArrayId(array)); }

absl::Status NoJob(absl::string_view name) {
  return absl::NotFoundError(absl::StrCat("there is no job ", name));
}

}  // namespace ijepa::coordinator
