// From a job file and the options of `submit` to a job that can be sent: read, completed, checked
// here, so that mistakes are found before anything is asked of a coordinator.
#ifndef IJEPA_CLIENT_JOB_FILE_H_
#define IJEPA_CLIENT_JOB_FILE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ijepa/v1/job.pb.h"
#include "proto/spec/fields.h"
#include "proto/spec/matrix.h"

namespace ijepa::client {

// What the command line says over the file. Absent options leave the file's values.
struct JobOptions {
  // Path of a YAML file; "-" reads stdin.
  std::string file;
  // PATH=VALUE, applied in order, before the other options.
  std::vector<std::string> settings;
  std::optional<int> ranks;
  std::optional<std::string> name;
  std::optional<std::string> data;
  std::optional<std::string> eval;
  std::optional<std::string> eval_fit;
};

struct JobFile {
  // What was written, paths made absolute against the current folder, name filled in.
  v1::JobSpec sparse;
  // With every default.
  v1::JobSpec resolved;
  spec::SourceMap sources;
  // Of a sweep; none: it is one job.
  std::vector<spec::MatrixAxis> axes;
};

// Reads and completes a job. Every error is InvalidArgument with one line per problem, naming file,
// line and path, but for NotFound and others from reading the file.
absl::StatusOr<JobFile> ReadJobFile(const JobOptions& options);

// Checks `job` against the rules of a spec. `need_data`: it must say where its images are.
absl::Status ValidateJob(const JobFile& job, bool need_data);

// Images of the folder or tar file at `path`. NotFound and FailedPrecondition (no image) name the
// path.
absl::StatusOr<int64_t> CountImages(const std::string& path);

}  // namespace ijepa::client

#endif  // IJEPA_CLIENT_JOB_FILE_H_
