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
#include "worker/jepa/data/source_index.h"
#include "worker/jepa/data/tar_files.h"

namespace jepa {

inline constexpr int64_t kMaxImageBytes = int64_t{256} << 20;
inline constexpr char kLabelsName[] = "labels.csv";

// NotFound for what vanished, Unavailable for storage that may answer better later, DataLoss for
// the rest. For reads of images.
absl::Status ReadFailure(int error, absl::string_view path);

// The names in one folder, not sorted; links count as what they lead to. Whatever is no folder and
// is named like an image is one, dead links and devices too, so that it is counted when it cannot
// be read.
struct FolderListing {
  Stamp stamp;
  uint64_t device = 0;  // With inode: which folder it is, whatever the path.
  uint64_t inode = 0;
  std::vector<std::string> images;
  std::vector<std::string> folders;
};

// Returns what the file system says for a folder that cannot be listed.
absl::Status ListFolder(const std::string& path, FolderListing& listing);

// The images of a tar: ustar, GNU or pax, not compressed. Returns FailedPrecondition if it is none,
// DataLoss if it is cut short, ends without an end mark, or a header is broken.
absl::Status ListTar(const std::string& path, FileList& files, Stamp& stamp);

// `files` of the tar at `path`, which becomes one of `tars`; these must outlive the source.
absl::StatusOr<std::unique_ptr<ImageSource>> OpenTar(const std::string& path, FileList files,
                                                     TarFiles& tars);

// FailedPrecondition: "... has no .jpg, .jpeg, .png or .webp file".
absl::Status NoImages(absl::string_view path);

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
