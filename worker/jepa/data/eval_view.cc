// The deterministic views of a list of images.
#include "worker/jepa/data/eval_view.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "worker/jepa/data/augment.h"
#include "worker/jepa/data/decode.h"

namespace jepa {
namespace {

absl::StatusOr<Image> ReadImage(const ImageSource& source, int64_t index) {
  absl::StatusOr<std::string> bytes = source.Read(index);
  if (!bytes.ok()) return bytes.status();
  return Decode(*bytes);
}

}  // namespace

absl::StatusOr<std::vector<uint8_t>> LoadEvalView(const ImageSource& source,
                                                  const std::vector<int64_t>& indices, int crop,
                                                  std::vector<int64_t>* bad) {
  if (crop < 1) {
    return absl::InvalidArgumentError(absl::StrCat("crop is ", crop, "; must be at least 1"));
  }
  const size_t view_bytes = static_cast<size_t>(crop) * crop * 3;
  std::vector<uint8_t> pixels(view_bytes * indices.size());
  for (size_t i = 0; i < indices.size(); ++i) {
    if (indices[i] < 0 || indices[i] >= source.size()) {
      return absl::InvalidArgumentError(
          absl::StrCat("image ", indices[i], " of a source of ", source.size(), " images"));
    }
    const absl::StatusOr<Image> image = ReadImage(source, indices[i]);
    if (image.ok()) {
      WritePlanes(ResizeAndCentreCrop(*image, crop), /*mirror=*/false,
                  pixels.data() + view_bytes * i);
    } else if (bad != nullptr) {
      bad->push_back(indices[i]);
    }
  }
  return pixels;
}

}  // namespace jepa
