// The two kinds of ImageSource and the labels file inside each.
#ifndef IJEPA_WORKER_JEPA_DATA_SOURCES_H_
#define IJEPA_WORKER_JEPA_DATA_SOURCES_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "worker/jepa/data/image_source.h"

namespace jepa {

inline constexpr int64_t kMaxImageBytes = int64_t{256} << 20;
inline constexpr char kLabelsName[] = "labels.csv";

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

// labels.csv in the folder, or the one nearest to the root in the tar. Returns NotFound if there is
// none.
absl::StatusOr<LabelsFile> ReadLabelsFile(const std::string& path);
absl::StatusOr<LabelsFile> ReadTarLabelsFile(const std::string& path);

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_DATA_SOURCES_H_
