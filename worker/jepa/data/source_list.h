// Several sources as one: patterns of paths, and manifests.
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

// The images of all `paths` (folders, tars, manifests), one after the other. A name begins with the
// last part of its path and a colon: "shard-003.tar:dog/17.jpg".
absl::StatusOr<std::unique_ptr<ImageSource>> OpenAll(const std::vector<std::string>& paths);

// A text file (.txt or .tsv): one image a line, after a tab its class if it has one; paths are
// relative to the file's folder. Lines that name a tar or end in a slash stand for all its images.
// Empty lines and lines that begin with # are passed over.
bool IsManifestName(absl::string_view path);
absl::StatusOr<std::unique_ptr<ImageSource>> OpenManifest(const std::string& path);

// The labels of what OpenAll and OpenManifest open. NotFound if there are none.
absl::StatusOr<std::vector<LabelsFile>> ReadListLabels(const std::vector<std::string>& paths);
absl::StatusOr<std::vector<LabelsFile>> ReadManifestLabels(const std::string& path);

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_DATA_SOURCE_LIST_H_
