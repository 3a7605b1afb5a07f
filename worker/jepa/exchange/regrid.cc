// Tables are made once, when the source is wrapped; everything else is read through.
#include "worker/jepa/exchange/regrid.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/jepa/plan/arithmetic.h"

namespace jepa {
namespace {

constexpr double kSinCosTolerance = 1e-5;
constexpr double kCubic = -0.75;

bool IsClose(float a, float b) { return std::abs(double{a} - double{b}) <= kSinCosTolerance; }

// Weights of the four neighbours of a place that lies `t` past the second, 0 <= t < 1. Keys,
// "Cubic convolution interpolation", 1981, eq. 4.
void CubicWeights(double t, double weights[4]) {
  const auto near = [](double x) { return ((kCubic + 2) * x - (kCubic + 3)) * x * x + 1; };
  const auto far = [](double x) {
    return ((kCubic * x - 5 * kCubic) * x + 8 * kCubic) * x - 4 * kCubic;
  };
  weights[0] = far(t + 1);
  weights[1] = near(t);
  weights[2] = near(1 - t);
  weights[3] = far(2 - t);
}

// For each of `to` places, four neighbours among `from` and their weights.
struct Neighbours {
  int index[4];
  double weight[4];
};

std::vector<Neighbours> NeighboursOf(int from, int to) {
  std::vector<Neighbours> all(static_cast<size_t>(to));
  for (int i = 0; i < to; ++i) {
    const double place = (i + 0.5) * from / to - 0.5;
    const double below = std::floor(place);
    Neighbours& neighbours = all[static_cast<size_t>(i)];
    CubicWeights(place - below, neighbours.weight);
    for (int k = 0; k < 4; ++k) {
      neighbours.index[k] = std::clamp(static_cast<int>(below) - 1 + k, 0, from - 1);
    }
  }
  return all;
}

class RegriddedState : public StateSource {
 public:
  RegriddedState(std::unique_ptr<StateSource> source, MaskGrid grid)
      : source_(std::move(source)), info_(source_->info()), shapes_(source_->tensors()) {
    info_.model.grid_height = grid.height;
    info_.model.grid_width = grid.width;
  }

  const StateInfo& info() const override { return info_; }
  const TensorShapes& tensors() const override { return shapes_; }
  absl::Status Read(const std::string& name, float* out) const override {
    const auto found = tables_.find(name);
    if (found == tables_.end()) return source_->Read(name, out);
    std::memcpy(out, found->second.data(), found->second.size() * sizeof(float));
    return absl::OkStatus();
  }

  absl::Status Convert(const std::string& name) {
    const ModelConfig& old = source_->info().model;
    const MaskGrid from{old.grid_height, old.grid_width};
    const MaskGrid to{info_.model.grid_height, info_.model.grid_width};
    std::vector<int64_t>& shape = shapes_.at(name);
    const int width = static_cast<int>(shape[2]);
    std::vector<float> table(static_cast<size_t>(CountOf(shape)));
    IJEPA_RETURN_IF_ERROR(source_->Read(name, table.data()));
    if (IsSinCosTable(table, from, width)) {
      tables_[name] = PositionTable(to.height, to.width, width);
    } else {
      tables_[name] = InterpolateTable(table, from, to, width);
      info_.notes.push_back(
          absl::StrCat(name, " is not the sin-cos table; it was interpolated (bicubic) from ",
                       from.height, "x", from.width, " to ", to.height, "x", to.width));
    }
    shape[1] = int64_t{to.height} * to.width;
    return absl::OkStatus();
  }

 private:
  const std::unique_ptr<StateSource> source_;
  StateInfo info_;
  TensorShapes shapes_;
  std::map<std::string, std::vector<float>> tables_;
};

}  // namespace

std::vector<float> InterpolateTable(const std::vector<float>& table, MaskGrid from, MaskGrid to,
                                    int width) {
  const std::vector<Neighbours> rows = NeighboursOf(from.height, to.height);
  const std::vector<Neighbours> columns = NeighboursOf(from.width, to.width);
  std::vector<float> out;
  out.reserve(static_cast<size_t>(to.height) * to.width * width);
  for (const Neighbours& row : rows) {
    for (const Neighbours& column : columns) {
      for (int k = 0; k < width; ++k) {
        double sum = 0;
        for (int i = 0; i < 16; ++i) {
          const size_t cell = static_cast<size_t>(row.index[i / 4]) * from.width +
                              static_cast<size_t>(column.index[i % 4]);
          sum += row.weight[i / 4] * column.weight[i % 4] * table[cell * width + k];
        }
        out.push_back(static_cast<float>(sum));
      }
    }
  }
  return out;
}

bool IsSinCosTable(const std::vector<float>& table, MaskGrid grid, int width) {
  if (width % 4 != 0) return false;
  const std::vector<float> expected = PositionTable(grid.height, grid.width, width);
  return std::equal(table.begin(), table.end(), expected.begin(), expected.end(), IsClose);
}

std::optional<MaskGrid> SinCosGrid(const std::vector<float>& table, int width) {
  if (width % 4 != 0) return std::nullopt;
  // The patch below the first one stands in no other place, so where it stands is the grid's width.
  const std::vector<float> column = PositionTable(2, 1, width);
  const auto patches = static_cast<int>(table.size() / static_cast<size_t>(width));
  int below = 1;
  while (below < patches && !std::equal(column.begin() + width, column.end(),
                                        table.begin() + int64_t{below} * width, IsClose)) {
    ++below;
  }
  const MaskGrid grid{patches / below, below};
  if (patches % below != 0 || !IsSinCosTable(table, grid, width)) return std::nullopt;
  return grid;
}

absl::StatusOr<std::unique_ptr<StateSource>> OnGrid(std::unique_ptr<StateSource> source,
                                                    MaskGrid grid) {
  const ModelConfig& model = source->info().model;
  if (model.grid_height == grid.height && model.grid_width == grid.width) return source;
  const bool predictor = model.pred_depth > 0;
  auto regridded = std::make_unique<RegriddedState>(std::move(source), grid);
  IJEPA_RETURN_IF_ERROR(regridded->Convert(absl::StrCat(kEncoderPrefix, kEncoderTable)));
  IJEPA_RETURN_IF_ERROR(regridded->Convert(absl::StrCat(kTargetPrefix, kEncoderTable)));
  if (predictor) {
    IJEPA_RETURN_IF_ERROR(regridded->Convert(absl::StrCat(kPredictorPrefix, kPredictorTable)));
  }
  return std::unique_ptr<StateSource>(std::move(regridded));
}

}  // namespace jepa
