// See submission.h.
#include "coordinator/services/submission.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "coordinator/core/error_details.h"
#include "coordinator/services/digest.h"
#include "proto/spec/matrix.h"
#include "proto/spec/schedule_rules.h"
#include "proto/spec/spec_defaults.h"
#include "proto/spec/spec_reader.h"
#include "proto/spec/spec_validate.h"

namespace ijepa::coordinator {
namespace {

// control-plane.md section 6, rule 18.
constexpr size_t kMaxSpecBytes = 256 * 1024;
constexpr size_t kMaxRequestId = 128;
constexpr int kUidLength = 26;

absl::Status CheckSizes(const v1::JobSpec& spec, const std::string& request_id) {
  if (spec.ByteSizeLong() > kMaxSpecBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("spec has ", spec.ByteSizeLong(), " bytes; at most ", kMaxSpecBytes));
  }
  if (request_id.size() > kMaxRequestId) {
    return absl::InvalidArgumentError(
        absl::StrCat("request_id is longer than ", kMaxRequestId, " characters; use a UUID"));
  }
  return absl::OkStatus();
}

// With every default, and valid.
absl::StatusOr<CreateJob> CommandFor(v1::JobSpec spec, const RandomText& random) {
  CreateJob command;
  command.spec = std::move(spec);
  spec::ResolveDefaults(&command.spec);
  if (absl::Status valid = spec::Validate(command.spec); !valid.ok()) {
    return WithViolations(std::move(valid));
  }
  command.uid = random(kUidLength);
  return command;
}

// The newest, or that of `step`. Null: there is none.
const v1::Checkpoint* FindStart(const v1::SealedJob& parent, const v1::ForkJobRequest& request) {
  const v1::Checkpoint* start = nullptr;
  for (const v1::Checkpoint& checkpoint : parent.checkpoints()) {
    const bool wanted = !request.has_step() || checkpoint.step() == request.step();
    if (wanted && (start == nullptr || checkpoint.step() > start->step())) start = &checkpoint;
  }
  return start;
}

absl::Status CheckProject(const std::string& project) {
  if (spec::IsPlainName(project)) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "project is \"", project, "\"; must be 1 to 63 of a-z, 0-9 and -, without - at an end"));
}

}  // namespace

std::string ProjectAsked(const std::string& project) {
  return project.empty() ? kDefaultProject : project;
}

absl::StatusOr<CreateJob> JobCommand(const v1::CreateJobRequest& request,
                                     const RandomText& random) {
  IJEPA_RETURN_IF_ERROR(CheckSizes(request.spec(), request.request_id()));
  const std::string project = ProjectAsked(request.project());
  IJEPA_RETURN_IF_ERROR(CheckProject(project));
  IJEPA_ASSIGN_OR_RETURN(CreateJob command, CommandFor(request.spec(), random));
  command.project = project;
  command.request_id = request.request_id();
  command.digest = DigestOf(request);
  command.validate_only = request.validate_only();
  command.queue_anyway = request.queue_anyway();
  command.hold = request.hold();
  return command;
}

absl::StatusOr<CreateArray> ArrayCommand(const v1::CreateArrayRequest& request,
                                         const RandomText& random) {
  IJEPA_RETURN_IF_ERROR(CheckSizes(request.spec(), request.request_id()));
  const std::string project = ProjectAsked(request.project());
  IJEPA_RETURN_IF_ERROR(CheckProject(project));
  std::vector<spec::MatrixAxis> axes;
  for (const v1::MatrixAxis& axis : request.matrix()) {
    axes.push_back({axis.path(), {axis.values().begin(), axis.values().end()}});
  }
  IJEPA_ASSIGN_OR_RETURN(std::vector<spec::MatrixJob> jobs,
                         spec::ExpandMatrix(request.spec(), axes));
  CreateArray array;
  for (size_t i = 0; i < jobs.size(); ++i) {
    IJEPA_ASSIGN_OR_RETURN(CreateJob command, CommandFor(std::move(jobs[i].spec), random));
    command.project = project;
    command.queue_anyway = request.queue_anyway();
    command.hold = request.hold();
    v1::ArrayPlace& place = command.array.emplace();
    place.set_index(static_cast<int32_t>(i));
    place.mutable_settings()->Assign(jobs[i].settings.begin(), jobs[i].settings.end());
    array.jobs.push_back(std::move(command));
  }
  array.request_id = request.request_id();
  array.digest = DigestOf(request);
  array.validate_only = request.validate_only();
  return array;
}

absl::StatusOr<CreateJob> ForkCommand(const v1::ForkJobRequest& request,
                                      const v1::SealedJob& parent, const RandomText& random) {
  const std::string& name = parent.job().name();
  const v1::Checkpoint* start = FindStart(parent, request);
  if (start == nullptr) {
    return WithReason(
        absl::FailedPreconditionError(absl::StrCat(
            name, " has no checkpoint",
            request.has_step() ? absl::StrCat(" of step ", request.step()) : std::string(),
            "; ijepactl checkpoints JOB lists what there is")),
        "CHECKPOINT_GONE", name);
  }
  v1::JobSpec spec = parent.job().spec();
  // It waited already; what the parent waited for may be gone.
  spec.clear_depends_on();
  for (const std::string& setting : request.settings()) {
    IJEPA_RETURN_IF_ERROR(spec::ApplySetting(&spec, setting));
  }
  spec.mutable_meta()->set_load_checkpoint(true);
  spec.mutable_meta()->set_read_checkpoint(start->path());
  IJEPA_RETURN_IF_ERROR(CheckSizes(spec, request.request_id()));
  IJEPA_ASSIGN_OR_RETURN(CreateJob command, CommandFor(std::move(spec), random));
  command.parent = name;
  command.project = ProjectOf(name);
  command.start_path = start->path();
  command.request_id = request.request_id();
  command.digest = DigestOf(request, "ForkJob");
  command.validate_only = request.validate_only();
  command.queue_anyway = request.queue_anyway();
  command.hold = request.hold();
  return command;
}

}  // namespace ijepa::coordinator
