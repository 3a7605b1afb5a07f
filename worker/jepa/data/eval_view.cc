// The deterministic views of a list of images.
#include "worker/jepa/data/eval_view.h"

#include <algorithm>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/jepa/data/augment.h"

namespace jepa {
namespace {

absl::Status WriteView(const ImageSource& source, int64_t index, const Size& size, ViewTools& tools,
                       uint8_t* planes) {
  IJEPA_RETURN_IF_ERROR(source.ReadInto(index, tools.bytes));
  IJEPA_ASSIGN_OR_RETURN(const Size image, tools.reader.Open(tools.bytes));
  const ViewGeometry view = CentreGeometry(image, size.height, size.width);
  return tools.reader.Read(tools.resizer.Begin(view, 3, planes), tools.resizer);
}

}  // namespace

absl::StatusOr<std::vector<uint8_t>> LoadEvalView(const ImageSource& source,
                                                  const std::vector<int64_t>& indices, Size crop,
                                                  std::vector<int64_t>* bad) {
  if (crop.height < 1 || crop.width < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("crop is ", crop.height, " x ", crop.width, "; both must be at least 1"));
  }
  const size_t view_bytes = static_cast<size_t>(crop.height) * crop.width * 3;
  std::vector<uint8_t> pixels(view_bytes * indices.size());
  ViewTools tools;
  for (size_t i = 0; i < indices.size(); ++i) {
    if (indices[i] < 0 || indices[i] >= source.size()) {
      return absl::InvalidArgumentError(
          absl::StrCat("image ", indices[i], " of a source of ", source.size(), " images"));
    }
    uint8_t* planes = pixels.data() + view_bytes * i;
    if (WriteView(source, indices[i], crop, tools, planes).ok()) continue;
    std::fill(planes, planes + view_bytes, uint8_t{0});
    if (bad != nullptr) bad->push_back(indices[i]);
  }
  return pixels;
}

}  // namespace jepa
