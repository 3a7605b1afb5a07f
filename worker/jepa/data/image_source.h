// Where images are: a folder tree or a tar file, listed once, read by number.
#ifndef IJEPA_WORKER_JEPA_DATA_IMAGE_SOURCE_H_
#define IJEPA_WORKER_JEPA_DATA_IMAGE_SOURCE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace jepa {

// A fixed list of image files. Thread-safe after construction.
class ImageSource {
 public:
  virtual ~ImageSource() = default;
  virtual int64_t size() const = 0;
  // Path within the source, for messages and labels. 0 <= index < size().
  virtual std::string name(int64_t index) const = 0;
  // Replaces `bytes` by the file's, keeping its memory from file to file. Returns NotFound if the
  // file vanished, Unavailable if its storage answers with an error that may pass, DataLoss if it
  // cannot be read, ResourceExhausted past the size limit of 256 MiB.
  virtual absl::Status ReadInto(int64_t index, std::string& bytes) const = 0;
  absl::StatusOr<std::string> Read(int64_t index) const;
};

// ReadInto, tried three times, `delay` apart, where the storage answers with an error that may
// pass.
absl::Status ReadPatiently(const ImageSource& source, int64_t index, absl::Duration delay,
                           std::string& bytes);
inline constexpr absl::Duration kRetryDelay = absl::Milliseconds(200);

// Opens `path`: a folder (searched recursively), a tar file, a manifest (.txt or .tsv), or a
// pattern for several of these (source_list.h). Files ending in .jpg, .jpeg, .png or .webp in any
// case count, sorted by name within a folder or tar, so that every rank and every start sees the
// same numbers. Returns NotFound if path does not exist, FailedPrecondition if there is no image
// ("... has no .jpg, .jpeg, .png or .webp file"). With an index_folder the list is taken from there
// while it is current, and kept there otherwise (index_store.h).
absl::StatusOr<std::unique_ptr<ImageSource>> OpenImageSource(const std::string& path,
                                                             const std::string& index_folder = "");

// The published layout: root_path/image_folder/train, or whichever of the prefixes exists.
std::string PublishedImagePath(const std::string& root_path, const std::string& image_folder);

// One column of labels: a class number per image of a source, -1 where there is none.
struct Labels {
  std::string name;  // "class", "count", "depth".
  int classes = 0;
  std::vector<int32_t> values;
  // What the numbers stand for: the names of the classes in order, or the depth (or other fraction)
  // at which each class but the first begins.
  std::vector<std::string> class_names;
  std::vector<double> cuts;
};

// Labels of a source: from labels.csv beside the images, a manifest or the .cls and .json files of
// a tar (header path,NAME,...; a column of
// fractions is cut into 6 classes at its quantiles) or, where there is none, one column "class"
// from the name of the folder each file is in. With `vocabulary` (the labels of the other set of a
// probe) the columns and numbers are those of `vocabulary`: what it does not know becomes -1.
// Returns FailedPrecondition if neither gives two classes, InvalidArgument for a malformed
// labels.csv, naming the line.
absl::StatusOr<std::vector<Labels>> ReadLabels(const std::string& path, const ImageSource& source,
                                               const std::vector<Labels>* vocabulary = nullptr);

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_DATA_IMAGE_SOURCE_H_
