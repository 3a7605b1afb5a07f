// See matrix.h.
#include "proto/spec/matrix.h"

#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "proto/spec/fields.h"
#include "proto/spec/spec_reader.h"
#include "proto/spec/yaml_tree.h"

namespace ijepa::spec {
namespace {

absl::Status CheckAxis(const MatrixAxis& axis) {
  const std::string name = absl::StrCat("matrix.", Shown(axis.path));
  if (FindField(axis.path) == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, " is no path of a job; write the whole path, such as optimization.lr"));
  }
  if (axis.path == "name" || axis.path == "labels" || axis.path == "depends_on") {
    return absl::InvalidArgumentError(
        absl::StrCat(name, " is the same for all jobs of a matrix; remove it"));
  }
  for (const std::string& value : axis.values) {
    if (value.size() > kMaxValueBytes) {
      return absl::InvalidArgumentError(absl::StrCat(name, " has a value of ", value.size(),
                                                     " bytes; must be at most ", kMaxValueBytes));
    }
  }
  const std::set<std::string> distinct(axis.values.begin(), axis.values.end());
  if (distinct.empty() || distinct.size() != axis.values.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, " has ", axis.values.size(), " values, ", distinct.size(),
                     " of them different; must have at least one, and each once"));
  }
  return absl::OkStatus();
}

absl::Status CheckAxes(const std::vector<MatrixAxis>& axes) {
  std::set<std::string> paths;
  size_t jobs = 1;
  for (const MatrixAxis& axis : axes) {
    IJEPA_RETURN_IF_ERROR(CheckAxis(axis));
    if (!paths.insert(axis.path).second) {
      return absl::InvalidArgumentError(
          absl::StrCat("matrix.", axis.path, " is there twice; put its values into one list"));
    }
    jobs *= axis.values.size();
    if (jobs > kMaxMatrixJobs) {
      return absl::InvalidArgumentError(
          absl::StrCat("matrix has more than ", kMaxMatrixJobs, " combinations; make it smaller"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<MatrixJob>> ExpandMatrix(const v1::JobSpec& spec,
                                                    const std::vector<MatrixAxis>& axes) {
  IJEPA_RETURN_IF_ERROR(CheckAxes(axes));
  std::vector<MatrixJob> jobs{{spec, {}}};
  for (const MatrixAxis& axis : axes) {
    std::vector<MatrixJob> next;
    for (const MatrixJob& job : jobs) {
      for (const std::string& value : axis.values) {
        MatrixJob& made = next.emplace_back(job);
        if (absl::Status applied = ApplySetting(&made.spec, absl::StrCat(axis.path, "=", value));
            !applied.ok()) {
          return absl::InvalidArgumentError(absl::StrCat("matrix: ", applied.message()));
        }
        v1::MatrixSetting& setting = made.settings.emplace_back();
        setting.set_path(axis.path);
        setting.set_value(value);
      }
    }
    jobs = std::move(next);
  }
  return jobs;
}

}  // namespace ijepa::spec
