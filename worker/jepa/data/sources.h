// The kinds of ImageSource and the labels file inside each.
#ifndef IJEPA_WORKER_JEPA_DATA_SOURCES_H_
#define IJEPA_WORKER_JEPA_DATA_SOURCES_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "worker/jepa/data/file_list.h"
#include "worker/jepa/data/image_source.h"

namespace jepa {

inline constexpr int64_t kMaxImageBytes = int64_t{256} << 20;
inline constexpr char kLabelsName[] = "labels.csv";

// NotFound for what vanished, Unavailable for storage that may answer better later, DataLoss for
// the rest. For reads of images.
absl::Status ReadFailure(int error, absl::string_view path);

// An image folder, searched through links to folders too. Returns what the file system says for a
// folder that cannot be listed.
absl::StatusOr<std::unique_ptr<ImageSource>> OpenFolder(const std::string& path);

// A tar: ustar, GNU or pax, not compressed. Returns FailedPrecondition if it is none, DataLoss if
// it is cut short or a header is broken. Keeps the file open.
absl::StatusOr<std::unique_ptr<ImageSource>> OpenTar(const std::string& path);

// A labels.csv and the folder its paths start from ("" or "train/").
struct LabelsFile {
  std::string text;
  std::string base;
};

// labels.csv in the folder, or the one nearest to the root in the tar; in a tar without it, the
// .cls files beside the images (WebDataset), or the number or text "label", "class" or "cls" of
// their .json files, as a table of one column "class". Returns NotFound if there is none.
absl::StatusOr<std::vector<LabelsFile>> ReadLabelsFiles(const std::string& path);
absl::StatusOr<LabelsFile> ReadTarLabelsFile(const std::string& path);

// `text` in quotes, as a field of a labels.csv.
std::string CsvField(absl::string_view text);

// The files named in `files`, relative to `root` or absolute, in that order.
std::unique_ptr<ImageSource> OpenFiles(const std::string& root, FileList files);

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_DATA_SOURCES_H_
