// See job_file.h.
#include "client/job_file.h"

#include <filesystem>
#include <iostream>
#include <iterator>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "common/status_macros.h"
#include "common/utf8.h"
#include "proto/spec/spec_defaults.h"
#include "proto/spec/spec_reader.h"
#include "proto/spec/spec_validate.h"
#include "worker/jepa/data/image_source.h"

namespace ijepa::client {
namespace {

constexpr char kStdin[] = "-";
constexpr char kStdinName[] = "stdin";

absl::StatusOr<std::string> ReadText(const std::string& file) {
  if (file != kStdin) return ReadFile(file);
  std::string text{std::istreambuf_iterator<char>(std::cin), std::istreambuf_iterator<char>()};
  if (std::cin.bad()) return absl::InternalError("stdin cannot be read");
  return text;
}

std::string Absolute(const std::string& path) {
  if (path.empty()) return path;
  std::error_code error;
  std::filesystem::path absolute = std::filesystem::absolute(path, error);
  return error ? path : absolute.lexically_normal().string();
}

void MakePathsAbsolute(v1::JobSpec* spec) {
  if (spec->data().has_path()) {
    spec->mutable_data()->set_path(Absolute(spec->data().path()));
  }
  if (spec->data().has_root_path()) {
    spec->mutable_data()->set_root_path(Absolute(spec->data().root_path()));
  }
  if (spec->eval().has_path()) {
    spec->mutable_eval()->set_path(Absolute(spec->eval().path()));
  }
  if (spec->eval().has_fit_path()) {
    spec->mutable_eval()->set_fit_path(Absolute(spec->eval().fit_path()));
  }
  if (spec->logging().has_folder()) {
    spec->mutable_logging()->set_folder(Absolute(spec->logging().folder()));
  }
}

void ApplyOptions(const JobOptions& options, JobFile* job) {
  v1::JobSpec& spec = job->sparse;
  if (options.ranks.has_value()) {
    spec.mutable_ranks()->set_min(*options.ranks);
    spec.mutable_ranks()->set_max(*options.ranks);
    job->sources["ranks"] = "--ranks";
  }
  if (options.name.has_value()) {
    spec.set_name(*options.name);
    job->sources["name"] = "--name";
  }
  if (options.data.has_value()) {
    spec.mutable_data()->set_path(*options.data);
    job->sources["data.path"] = "--data";
  }
  if (options.eval.has_value()) {
    spec.mutable_eval()->set_path(*options.eval);
    job->sources["eval.path"] = "--eval";
  }
  if (options.eval_fit.has_value()) {
    spec.mutable_eval()->set_fit_path(*options.eval_fit);
    job->sources["eval.fit_path"] = "--eval-fit";
  }
}

// What comes from the command line or the current folder; the job file itself is checked when read.
absl::Status CheckText(const v1::JobSpec& spec) {
  const std::pair<const char*, const std::string*> texts[] = {
      {"name", &spec.name()},
      {"data.path", &spec.data().path()},
      {"data.root_path", &spec.data().root_path()},
      {"eval.path", &spec.eval().path()},
      {"eval.fit_path", &spec.eval().fit_path()},
      {"logging.folder", &spec.logging().folder()}};
  for (const auto& [path, text] : texts) {
    if (IsUtf8(*text)) continue;
    return absl::InvalidArgumentError(
        absl::StrCat(path, " is not UTF-8: ", ToUtf8(*text),
                     "; a job holds text, so give the folder or file a name in UTF-8"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<JobFile> ReadJobFile(const JobOptions& options) {
  bool from_stdin = options.file == kStdin;
  IJEPA_ASSIGN_OR_RETURN(std::string text, ReadText(options.file));
  JobFile job;
  IJEPA_ASSIGN_OR_RETURN(
      spec::Sweep sweep,
      spec::ReadSweep(text, from_stdin ? std::string(kStdinName) : options.file, &job.sources));
  job.sparse = std::move(sweep.spec);
  job.axes = std::move(sweep.axes);
  for (const std::string& setting : options.settings) {
    IJEPA_RETURN_IF_ERROR(spec::ApplySetting(&job.sparse, setting, &job.sources));
  }
  ApplyOptions(options, &job);
  MakePathsAbsolute(&job.sparse);
  if (!job.sparse.has_name()) {
    job.sparse.set_name(spec::NameFromFile(from_stdin ? "" : options.file));
  }
  IJEPA_RETURN_IF_ERROR(CheckText(job.sparse));
  job.resolved = job.sparse;
  spec::ResolveDefaults(&job.resolved);
  return job;
}

absl::Status ValidateJob(const JobFile& job, bool need_data) {
  spec::ValidateOptions options;
  options.need_data = need_data;
  options.sources = &job.sources;
  return spec::Validate(job.resolved, options);
}

absl::StatusOr<int64_t> CountImages(const std::string& path) {
  IJEPA_ASSIGN_OR_RETURN(std::unique_ptr<jepa::ImageSource> source, jepa::OpenImageSource(path));
  return source->size();
}

}  // namespace ijepa::client
