// The Gram matrix of the held-out fifth is taken from that of all rows, so that each is computed
// once. Products of 256 rows run in fp32 and are summed in fp64.
#include "worker/jepa/eval/ridge.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <utility>

#include "common/check.h"

namespace jepa {
namespace {

constexpr Eigen::Index kBlockRows = 256;
// Per fit row; standardised features have a Gram diagonal of the number of rows.
constexpr std::array<double, 6> kStrengths = {10, 1, 1e-1, 1e-2, 1e-3, 1e-4};
constexpr Eigen::Index kHeldOutShare = 5;

struct Standardisation {
  Eigen::RowVectorXf mean;
  Eigen::RowVectorXf scale;  // 1 / standard deviation; 0 for a constant feature.

  RowMatrix operator()(const RowMatrix& rows) const {
    return (rows.rowwise() - mean).array().rowwise() * scale.array();
  }
};

Standardisation StandardisationOf(const RowMatrix& rows) {
  Eigen::RowVectorXd sum = Eigen::RowVectorXd::Zero(rows.cols());
  for (Eigen::Index i = 0; i < rows.rows(); ++i) sum += rows.row(i).cast<double>();
  const Eigen::RowVectorXd mean = sum / static_cast<double>(rows.rows());
  Eigen::RowVectorXd squares = Eigen::RowVectorXd::Zero(rows.cols());
  for (Eigen::Index i = 0; i < rows.rows(); ++i) {
    squares += (rows.row(i).cast<double>() - mean).cwiseAbs2();
  }
  const Eigen::RowVectorXd deviation = (squares / static_cast<double>(rows.rows())).cwiseSqrt();
  Standardisation standardisation;
  standardisation.mean = mean.cast<float>();
  standardisation.scale.resize(rows.cols());
  for (Eigen::Index i = 0; i < rows.cols(); ++i) {
    // Below the rounding of fp32 a feature is constant.
    const bool constant = deviation[i] <= 1e-6 * std::abs(mean[i]) || deviation[i] < 1e-30;
    standardisation.scale[i] = constant ? 0.0f : static_cast<float>(1 / deviation[i]);
  }
  return standardisation;
}

// Sums that the normal equations need.
struct Moments {
  Eigen::MatrixXd gram;      // X' X, lower triangle. [features, features]
  Eigen::MatrixXd products;  // X' Y. [features, classes]
  Eigen::VectorXd sum;       // Of X.
  Eigen::VectorXd counts;    // Of Y.
  double rows = 0;

  Moments(Eigen::Index features, Eigen::Index classes)
      : gram(Eigen::MatrixXd::Zero(features, features)),
        products(Eigen::MatrixXd::Zero(features, classes)),
        sum(Eigen::VectorXd::Zero(features)),
        counts(Eigen::VectorXd::Zero(classes)) {}

  void Add(const RowMatrix& rows_to_add, const int32_t* labels);
  Moments Without(const Moments& other) const;
};

void Moments::Add(const RowMatrix& features, const int32_t* labels) {
  Eigen::MatrixXf block_gram(gram.rows(), gram.cols());
  for (Eigen::Index start = 0; start < features.rows(); start += kBlockRows) {
    const Eigen::Index height = std::min(kBlockRows, features.rows() - start);
    const auto block = features.middleRows(start, height);
    block_gram.setZero();
    block_gram.selfadjointView<Eigen::Lower>().rankUpdate(block.transpose());
    gram.triangularView<Eigen::Lower>() += block_gram.cast<double>();
  }
  for (Eigen::Index i = 0; i < features.rows(); ++i) {
    const Eigen::VectorXd row = features.row(i).transpose().cast<double>();
    products.col(labels[i]) += row;
    sum += row;
    counts[labels[i]] += 1;
  }
  rows += static_cast<double>(features.rows());
}

Moments Moments::Without(const Moments& other) const {
  Moments rest = *this;
  rest.gram -= other.gram;
  rest.products -= other.products;
  rest.sum -= other.sum;
  rest.counts -= other.counts;
  rest.rows -= other.rows;
  return rest;
}

struct Linear {
  Eigen::MatrixXf weights;    // [features, classes]
  Eigen::RowVectorXf offset;  // [classes]

  std::vector<int32_t> Classify(const RowMatrix& rows) const {
    const RowMatrix scores = (rows * weights).rowwise() + offset;
    std::vector<int32_t> classes(static_cast<size_t>(rows.rows()));
    for (Eigen::Index i = 0; i < rows.rows(); ++i) {
      Eigen::Index best = 0;
      scores.row(i).maxCoeff(&best);
      classes[static_cast<size_t>(i)] = static_cast<int32_t>(best);
    }
    return classes;
  }
};

// Minimises |X W + b - Y|^2 + strength |W|^2; b is free.
Linear Solve(const Moments& moments, double strength) {
  const Eigen::VectorXd mean = moments.sum / moments.rows;
  const Eigen::VectorXd target = moments.counts / moments.rows;
  Eigen::MatrixXd centred = moments.gram;
  centred.selfadjointView<Eigen::Lower>().rankUpdate(mean, -moments.rows);
  centred.diagonal().array() += strength;
  const Eigen::MatrixXd right = moments.products - moments.rows * mean * target.transpose();
  const Eigen::MatrixXd weights = centred.selfadjointView<Eigen::Lower>().llt().solve(right);
  return {weights.cast<float>(), (target.transpose() - mean.transpose() * weights).cast<float>()};
}

int CountRight(const std::vector<int32_t>& predicted, const int32_t* labels) {
  int right = 0;
  for (size_t i = 0; i < predicted.size(); ++i) right += predicted[i] == labels[i] ? 1 : 0;
  return right;
}

// Moves a random fifth of the rows to the front. Returns the standardised rows and their labels.
LabelledRows Shuffled(const LabelledRows& fit, const Standardisation& standardise, Philox& random) {
  std::vector<Eigen::Index> order(static_cast<size_t>(fit.features.rows()));
  std::iota(order.begin(), order.end(), 0);
  const size_t held_out = order.size() / kHeldOutShare;
  for (size_t i = 0; i < held_out; ++i) {
    const auto other = i + random.Below(static_cast<uint32_t>(order.size() - i));
    std::swap(order[i], order[other]);
  }
  LabelledRows shuffled;
  shuffled.classes = fit.classes;
  shuffled.features.resize(fit.features.rows(), fit.features.cols());
  for (size_t i = 0; i < order.size(); ++i) {
    shuffled.features.row(static_cast<Eigen::Index>(i)) = fit.features.row(order[i]);
    shuffled.labels.push_back(fit.labels[static_cast<size_t>(order[i])]);
  }
  shuffled.features = standardise(shuffled.features);
  return shuffled;
}

}  // namespace

std::vector<int32_t> ClassifyLinearly(const LabelledRows& fit, const RowMatrix& queries,
                                      Philox& random) {
  IJEPA_CHECK(fit.features.rows() > 0 && fit.features.cols() == queries.cols());
  const Standardisation standardise = StandardisationOf(fit.features);
  const LabelledRows rows = Shuffled(fit, standardise, random);
  const Eigen::Index held_out = rows.features.rows() / kHeldOutShare;
  const RowMatrix held_out_rows = rows.features.topRows(held_out);
  Moments small(queries.cols(), fit.classes);
  small.Add(held_out_rows, rows.labels.data());
  Moments all = small;
  all.Add(rows.features.bottomRows(rows.features.rows() - held_out), rows.labels.data() + held_out);
  const Moments rest = all.Without(small);
  double best_strength = kStrengths.front();
  int best_right = -1;
  for (const double strength : kStrengths) {
    const Linear linear = Solve(rest, strength * rest.rows);
    const int right = CountRight(linear.Classify(held_out_rows), rows.labels.data());
    if (right > best_right) {
      best_right = right;
      best_strength = strength;
    }
  }
  return Solve(all, best_strength * all.rows).Classify(standardise(queries));
}

}  // namespace jepa
