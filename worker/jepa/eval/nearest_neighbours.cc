// Similarities come in tiles of a matrix product, so that memory is bounded; each query keeps its
// best few in a sorted list across tiles.
#include "worker/jepa/eval/nearest_neighbours.h"

#include <algorithm>
#include <limits>

#include "common/check.h"

namespace jepa {
namespace {

// A tile of 4096 x 64 similarities is 1 MiB: it stays in the second-level cache while it is read.
constexpr Eigen::Index kFitTile = 4096;
constexpr Eigen::Index kQueryTile = 64;

struct Neighbour {
  float similarity = -std::numeric_limits<float>::infinity();
  int32_t label = 0;
};

// Rows of length 1; rows of zeros stay.
RowMatrix Normalised(const RowMatrix& rows) {
  RowMatrix normalised(rows.rows(), rows.cols());
  for (Eigen::Index i = 0; i < rows.rows(); ++i) {
    const double length = rows.row(i).cast<double>().norm();
    normalised.row(i) = (rows.row(i).cast<double>() / (length > 0 ? length : 1)).cast<float>();
  }
  return normalised;
}

// The nearest rows so far, nearest first.
class NearestList {
 public:
  explicit NearestList(size_t size) : list_(size) {}

  void Offer(float similarity, int32_t label) {
    if (!(similarity > list_.back().similarity)) return;
    size_t place = list_.size() - 1;
    for (; place > 0 && similarity > list_[place - 1].similarity; --place) {
      list_[place] = list_[place - 1];
    }
    list_[place] = {similarity, label};
  }

  int32_t Majority(int classes) const {
    std::vector<int> votes(static_cast<size_t>(classes));
    for (const Neighbour& neighbour : list_) ++votes[static_cast<size_t>(neighbour.label)];
    const int most = *std::max_element(votes.begin(), votes.end());
    const auto winner = std::find_if(list_.begin(), list_.end(), [&](const Neighbour& neighbour) {
      return votes[static_cast<size_t>(neighbour.label)] == most;
    });
    return winner->label;
  }

 private:
  std::vector<Neighbour> list_;
};

}  // namespace

std::vector<int32_t> ClassifyByNeighbours(const LabelledRows& fit, const RowMatrix& queries,
                                          int neighbours) {
  IJEPA_CHECK(fit.features.rows() > 0 && fit.features.cols() == queries.cols() && neighbours > 0);
  const RowMatrix rows = Normalised(fit.features);
  const RowMatrix wanted = Normalised(queries);
  const auto size = static_cast<size_t>(std::min<Eigen::Index>(neighbours, rows.rows()));
  std::vector<int32_t> classes;
  Eigen::MatrixXf tile;
  for (Eigen::Index query = 0; query < wanted.rows(); query += kQueryTile) {
    const Eigen::Index count = std::min(kQueryTile, wanted.rows() - query);
    std::vector<NearestList> nearest(static_cast<size_t>(count), NearestList(size));
    for (Eigen::Index row = 0; row < rows.rows(); row += kFitTile) {
      const Eigen::Index height = std::min(kFitTile, rows.rows() - row);
      tile.noalias() = rows.middleRows(row, height) * wanted.middleRows(query, count).transpose();
      for (Eigen::Index i = 0; i < count; ++i) {
        const float* similarity = tile.col(i).data();
        for (Eigen::Index j = 0; j < height; ++j) {
          nearest[static_cast<size_t>(i)].Offer(similarity[j],
                                                fit.labels[static_cast<size_t>(row + j)]);
        }
      }
    }
    for (const NearestList& list : nearest) classes.push_back(list.Majority(fit.classes));
  }
  return classes;
}

}  // namespace jepa
