// Splits the rows, asks both classifiers, counts.
#include "worker/jepa/eval/probes.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "common/check.h"
#include "worker/jepa/eval/nearest_neighbours.h"
#include "worker/jepa/eval/ridge.h"
#include "worker/jepa/eval/rows.h"
#include "worker/jepa/plan/random.h"

namespace jepa {
namespace {

constexpr int kNeighbours = 20;
constexpr size_t kFolds = 5;
// Streams of Purpose::kProbe.
constexpr uint64_t kFoldStream = 0;
constexpr uint64_t kStrengthStream = 1;

using ConstRows = Eigen::Map<const RowMatrix>;

// Numbers of the images that have a label.
std::vector<Eigen::Index> LabelledImages(const Features& features, const Labels& labels) {
  IJEPA_CHECK(labels.values.size() == static_cast<size_t>(features.images));
  IJEPA_CHECK(features.values.size() == static_cast<size_t>(features.images) * features.width);
  std::vector<Eigen::Index> images;
  for (size_t i = 0; i < labels.values.size(); ++i) {
    const int32_t label = labels.values[i];
    IJEPA_CHECK(label < labels.classes);
    if (label >= 0) images.push_back(static_cast<Eigen::Index>(i));
  }
  return images;
}

// A diverged run has features that are not finite. They count as 0, so that its probes are at
// chance instead of undefined.
LabelledRows Gather(const Features& features, const Labels& labels,
                    const std::vector<Eigen::Index>& images) {
  const ConstRows all(features.values.data(), features.images, features.width);
  LabelledRows rows;
  rows.classes = labels.classes;
  rows.features.resize(static_cast<Eigen::Index>(images.size()), features.width);
  rows.labels.reserve(images.size());
  for (size_t i = 0; i < images.size(); ++i) {
    rows.features.row(static_cast<Eigen::Index>(i)) =
        all.row(images[i]).unaryExpr([](float x) { return std::isfinite(x) ? x : 0.0f; });
    rows.labels.push_back(labels.values[static_cast<size_t>(images[i])]);
  }
  return rows;
}

struct Tally {
  int64_t neighbours_right = 0;
  int64_t linear_right = 0;
  int64_t scored = 0;
};

void Score(const LabelledRows& fit, const LabelledRows& held_out, Philox& random, Tally& tally) {
  const std::vector<int32_t> near = ClassifyByNeighbours(fit, held_out.features, kNeighbours);
  const std::vector<int32_t> linear = ClassifyLinearly(fit, held_out.features, random);
  for (size_t i = 0; i < held_out.labels.size(); ++i) {
    tally.neighbours_right += near[i] == held_out.labels[i] ? 1 : 0;
    tally.linear_right += linear[i] == held_out.labels[i] ? 1 : 0;
  }
  tally.scored += static_cast<int64_t>(held_out.labels.size());
}

ProbeScore ScoreOf(const Labels& labels, const char* method, int64_t right, int64_t scored) {
  const Interval interval = WilsonInterval(right, scored);
  ProbeScore score;
  score.target = labels.name;
  score.method = method;
  score.accuracy = static_cast<double>(right) / static_cast<double>(scored);
  score.low = interval.low;
  score.high = interval.high;
  score.classes = labels.classes;
  score.images = static_cast<int>(scored);
  return score;
}

void Shuffle(std::vector<Eigen::Index>& images, Philox& random) {
  for (size_t i = images.size(); i > 1; --i) {
    std::swap(images[i - 1], images[random.Below(static_cast<uint32_t>(i))]);
  }
}

Tally CrossValidate(const Features& features, const Labels& labels,
                    std::vector<Eigen::Index> images, uint64_t seed) {
  Philox order(seed, Purpose::kProbe, kFoldStream, 0);
  Shuffle(images, order);
  Tally tally;
  for (size_t fold = 0; fold < std::min(kFolds, images.size()); ++fold) {
    std::vector<Eigen::Index> fit;
    std::vector<Eigen::Index> held_out;
    for (size_t i = 0; i < images.size(); ++i) {
      (i % kFolds == fold ? held_out : fit).push_back(images[i]);
    }
    Philox random(seed, Purpose::kProbe, kStrengthStream, fold);
    Score(Gather(features, labels, fit), Gather(features, labels, held_out), random, tally);
  }
  return tally;
}

}  // namespace

std::vector<ProbeScore> ScoreProbes(const Features& features, const Labels& labels,
                                    const Features* fit, const Labels* fit_labels, uint64_t seed) {
  const std::vector<Eigen::Index> images = LabelledImages(features, labels);
  Tally tally;
  if (fit != nullptr) {
    IJEPA_CHECK(fit_labels != nullptr && fit->width == features.width);
    const std::vector<Eigen::Index> fit_images = LabelledImages(*fit, *fit_labels);
    if (images.empty() || fit_images.empty()) return {};
    LabelledRows fit_rows = Gather(*fit, *fit_labels, fit_images);
    fit_rows.classes = std::max(labels.classes, fit_labels->classes);
    Philox random(seed, Purpose::kProbe, kStrengthStream, kFolds);
    Score(fit_rows, Gather(features, labels, images), random, tally);
  } else {
    if (images.size() < 2) return {};
    tally = CrossValidate(features, labels, images, seed);
  }
  return {ScoreOf(labels, "knn", tally.neighbours_right, tally.scored),
          ScoreOf(labels, "linear", tally.linear_right, tally.scored)};
}

Interval WilsonInterval(int64_t successes, int64_t trials) {
  IJEPA_CHECK(trials >= 1 && successes >= 0 && successes <= trials);
  constexpr double kZ = 1.959963984540054;  // 97.5 % quantile of the normal law.
  const double n = static_cast<double>(trials);
  const double share = static_cast<double>(successes) / n;
  const double spread = kZ * kZ / n;
  const double centre = (share + spread / 2) / (1 + spread);
  const double half = kZ / (1 + spread) * std::sqrt(share * (1 - share) / n + spread / (4 * n));
  return {successes == 0 ? 0.0 : centre - half, successes == trials ? 1.0 : centre + half};
}

}  // namespace jepa
