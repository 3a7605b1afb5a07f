// How several sources are named as one: patterns of paths, and manifests.
#ifndef IJEPA_WORKER_JEPA_DATA_SOURCE_LIST_H_
#define IJEPA_WORKER_JEPA_DATA_SOURCE_LIST_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "worker/jepa/data/sources.h"

namespace jepa {

// Whether `path` has braces or wildcards and is no existing path itself.
bool IsPattern(const std::string& path);

// The paths that `pattern` stands for: braces first ({a,b} and {000..127}, zero-padded as the first
// number), in order; then *, ? and [...], sorted. Returns NotFound if one of them matches nothing,
// InvalidArgument for a brace that is not closed or more than 1,000,000 paths.
absl::StatusOr<std::vector<std::string>> ExpandPattern(absl::string_view pattern);

// The last part of a path; its folder; `name` in `folder` unless it is absolute.
absl::string_view BaseName(absl::string_view path);
std::string FolderOf(const std::string& path);
std::string Within(const std::string& folder, absl::string_view name);

// A text file (.txt or .tsv): one image a line, after a tab its class if it has one; paths are
// relative to the file's folder. Lines that name a tar or end in a slash stand for all its images.
// Empty lines and lines that begin with # are passed over.
bool IsManifestName(absl::string_view path);

struct ManifestLine {
  std::string path;  // As written.
  std::string label;
  bool many = false;  // A tar or a folder.
};

// InvalidArgument for a line that is neither an image nor many, naming it.
absl::StatusOr<std::vector<ManifestLine>> ReadManifest(const std::string& path);

// The labels of several sources as one, and of a manifest. NotFound if there are none.
absl::StatusOr<std::vector<LabelsFile>> ReadListLabels(const std::vector<std::string>& paths);
absl::StatusOr<std::vector<LabelsFile>> ReadManifestLabels(const std::string& path);

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_DATA_SOURCE_LIST_H_
