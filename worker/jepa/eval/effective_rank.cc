// RankMe (Garrido et al., arXiv:2210.02885), from the eigenvalues of the smaller Gram matrix, in
// fp64: the square root would lift fp32 rounding to 3e-4 of the largest singular value.
#include <Eigen/Dense>
#include <cmath>

#include "common/check.h"
#include "worker/jepa/eval/probes.h"

namespace jepa {
namespace {

// Rounding of fp32: features that vary less around their mean are constant.
constexpr double kConstant = 1e-6;

}  // namespace

double EffectiveRank(const Features& features) {
  IJEPA_CHECK(features.values.size() == static_cast<size_t>(features.images) * features.width);
  if (features.images == 0 || features.width == 0) return 0;
  using Rows = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  const Eigen::Map<const Rows> raw(features.values.data(), features.images, features.width);
  const Eigen::MatrixXd values = raw.cast<double>();
  if (!values.allFinite()) return 0;
  const Eigen::MatrixXd centred = values.rowwise() - values.colwise().mean();
  if (centred.norm() <= kConstant * values.norm()) return 0;
  Eigen::MatrixXd gram = Eigen::MatrixXd::Zero(std::min(centred.rows(), centred.cols()),
                                               std::min(centred.rows(), centred.cols()));
  if (centred.rows() >= centred.cols()) {
    gram.selfadjointView<Eigen::Lower>().rankUpdate(centred.transpose());
  } else {
    gram.selfadjointView<Eigen::Lower>().rankUpdate(centred);
  }
  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> solver(gram, Eigen::EigenvaluesOnly);
  const Eigen::VectorXd singular = solver.eigenvalues().cwiseMax(0.0).cwiseSqrt();
  const double total = singular.sum();
  double entropy = 0;
  for (const double value : singular) {
    const double share = value / total;
    if (share > 0) entropy -= share * std::log(share);
  }
  return std::exp(entropy);
}

}  // namespace jepa
