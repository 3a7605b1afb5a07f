// From the surest word on the grid to the least sure.
#include "worker/jepa/exchange/settle_grid.h"

#include <cmath>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/jepa/exchange/published_names.h"
#include "worker/jepa/exchange/regrid.h"

namespace jepa {
namespace {

std::string GridText(MaskGrid grid) { return absl::StrCat(grid.height, "x", grid.width); }

// The grid of the crop, else the square one; none if neither has so many patches.
std::optional<MaskGrid> GuessGrid(const ModelConfig& model, Size crop) {
  const int64_t patches = int64_t{model.grid_height} * model.grid_width;
  const int patch = model.patch_size;
  const MaskGrid asked{crop.height / patch, crop.width / patch};
  if (crop.height % patch == 0 && crop.width % patch == 0 &&
      int64_t{asked.height} * asked.width == patches) {
    return asked;
  }
  const auto side = static_cast<int>(std::lround(std::sqrt(static_cast<double>(patches))));
  if (int64_t{side} * side != patches) return std::nullopt;
  return MaskGrid{side, side};
}

}  // namespace

absl::StatusOr<StateInfo> SettleGrid(const StateSource& state, Size crop) {
  StateInfo info = state.info();
  ModelConfig& model = info.model;
  const std::string name = absl::StrCat(kTargetPrefix, kEncoderTable);
  std::vector<float> table(static_cast<size_t>(CountOf(state.tensors().at(name))));
  IJEPA_RETURN_IF_ERROR(state.Read(name, table.data()));
  const std::optional<MaskGrid> shown = SinCosGrid(table, model.embed_dim);
  const MaskGrid said{model.grid_height, model.grid_width};
  if (info.grid_known) {
    if (!shown.has_value() || (shown->height == said.height && shown->width == said.width)) {
      return info;
    }
    return absl::InvalidArgumentError(absl::StrCat(info.path, " says grid ", GridText(said),
                                                   ", but its ", name, " is the sin-cos table of ",
                                                   GridText(*shown), "; correct its image size"));
  }
  const std::optional<MaskGrid> grid = shown.has_value() ? shown : GuessGrid(model, crop);
  if (!grid.has_value()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "tensor ", name, " has ", int64_t{said.height} * said.width,
        " patches, which is no square grid, and is no sin-cos table; name the image size it was "
        "made for: import --crop-size HEIGHTxWIDTH, or data.crop_size of the job"));
  }
  model.grid_height = grid->height;
  model.grid_width = grid->width;
  info.grid_known = true;
  if (!shown.has_value()) {
    info.notes.push_back(absl::StrCat(name, " is not the sin-cos table, and nothing says its grid",
                                      "; it is taken to be ", GridText(*grid)));
  }
  return info;
}

}  // namespace jepa
