// Folder or tar, and the published folder layout.
#include "worker/jepa/data/image_source.h"

#include <sys/stat.h>

#include <cerrno>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "common/file.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "worker/jepa/data/index_store.h"
#include "worker/jepa/data/source_list.h"
#include "worker/jepa/data/sources.h"

namespace jepa {
namespace {

bool Exists(const std::string& path) {
  struct stat info;
  return stat(path.c_str(), &info) == 0;
}

bool IsFolder(const std::string& path) {
  struct stat info;
  return stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
}

void Tell(const std::string& path, const FoundIndex& found) {
  if (found.was_corrupt) ijepa::LogWarning("kept index is corrupt: ", found.why_listed);
  ijepa::LogInfo("images=", found.index.images(), " path=", path,
                 found.was_kept ? " listed before, index=" : " listed now, index=", found.file,
                 found.why_listed.empty() ? "" : " because ", found.why_listed);
  if (!found.is_kept) ijepa::LogWarning("index is not kept: ", found.why_not_kept);
}

// Joins with one slash; an empty part adds nothing.
std::string Join(absl::string_view folder, absl::string_view name) {
  while (!name.empty() && name.front() == '/') name.remove_prefix(1);
  while (!name.empty() && name.back() == '/') name.remove_suffix(1);
  while (folder.size() > 1 && folder.back() == '/') folder.remove_suffix(1);
  if (name.empty()) return std::string(folder);
  if (folder.empty()) return std::string(name);
  return absl::StrCat(folder, folder == "/" ? "" : "/", name);
}

}  // namespace

absl::Status ReadFailure(int error, absl::string_view path) {
  const absl::Status status = ijepa::ErrnoStatus(error, "reading", path);
  if (absl::IsNotFound(status)) return status;
  for (const int passing : {EIO, ESTALE, ETIMEDOUT, EAGAIN, ENOMEM, EMFILE, ENFILE, ENOTCONN}) {
    if (error == passing) return absl::UnavailableError(status.message());
  }
  return absl::DataLossError(status.message());
}

absl::StatusOr<std::string> ImageSource::Read(int64_t index) const {
  std::string bytes;
  IJEPA_RETURN_IF_ERROR(ReadInto(index, bytes));
  return bytes;
}

absl::Status ReadPatiently(const ImageSource& source, int64_t index, absl::Duration delay,
                           std::string& bytes) {
  constexpr int kReads = 3;
  absl::Status status;
  for (int attempt = 1; attempt <= kReads; ++attempt) {
    status = source.ReadInto(index, bytes);
    if (!absl::IsUnavailable(status)) return status;
    if (attempt < kReads) absl::SleepFor(delay);
  }
  return absl::UnavailableError(absl::StrCat(status.message(), "; tried ", kReads, " times"));
}

absl::StatusOr<std::unique_ptr<ImageSource>> OpenImageSource(const std::string& path,
                                                             const std::string& index_folder) {
  IJEPA_ASSIGN_OR_RETURN(FoundIndex found, FindIndex(path, {.folder = index_folder}));
  if (!index_folder.empty()) Tell(path, found);
  return OpenIndex(std::move(found.index));
}

std::string PublishedImagePath(const std::string& root_path, const std::string& image_folder) {
  const std::string folder = Join(root_path, image_folder);
  const std::string train = Join(folder, "train");
  for (const std::string& path : {train, folder, Join(root_path, "")}) {
    if (Exists(path)) return path;
  }
  return train;
}

absl::StatusOr<std::vector<LabelsFile>> ReadLabelsFiles(const std::string& path) {
  if (IsPattern(path)) {
    IJEPA_ASSIGN_OR_RETURN(const std::vector<std::string> paths, ExpandPattern(path));
    return ReadListLabels(paths);
  }
  const bool is_folder = IsFolder(path);
  if (!is_folder && IsManifestName(path)) return ReadManifestLabels(path);
  std::vector<LabelsFile> files(1);
  if (is_folder) {
    IJEPA_ASSIGN_OR_RETURN(files[0].text, ijepa::ReadFile(Join(path, kLabelsName)));
  } else {
    IJEPA_ASSIGN_OR_RETURN(files[0], ReadTarLabelsFile(path));
  }
  return files;
}

}  // namespace jepa
