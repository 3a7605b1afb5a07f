// Did it learn: k-NN and linear classifiers on frozen features, with intervals. No LibTorch in this
// header.
#ifndef IJEPA_WORKER_JEPA_EVAL_PROBES_H_
#define IJEPA_WORKER_JEPA_EVAL_PROBES_H_

#include <cstdint>
#include <vector>

#include "worker/jepa/data/image_source.h"
#include "worker/jepa/run_host.h"

namespace jepa {

// Average-pooled features, row-major [images, width] fp32.
struct Features {
  int64_t images = 0;
  int width = 0;
  std::vector<float> values;
};

// Scores `labels` (one entry per row, -1: no label, row is skipped) on `features`: k-NN (cosine, k
// = 20, majority, the nearer wins a tie) and a linear probe (ridge regression to one-hot targets on
// features standardised by the fit rows, strength chosen on a fifth of the fit rows). With `fit`
// null: 5-fold cross-validation, so that every row is scored once by a classifier that did not see
// it; folds depend on `seed` alone. Accuracy with its Wilson 95 % interval. Two scores, "knn" and
// "linear"; none when there is nothing to fit on or to score. Features that are not finite count as
// 0. Single-threaded; 5,000 x 96 features take about a second.
std::vector<ProbeScore> ScoreProbes(const Features& features, const Labels& labels,
                                    const Features* fit, const Labels* fit_labels, uint64_t seed);

// Effective rank (RankMe): exp of the entropy of the singular values, normalised to sum 1, of the
// centred features; in [1, width]. 0 for constant features and for any that is not finite: the
// encoder has collapsed or diverged.
double EffectiveRank(const Features& features);

struct Interval {
  double low = 0;
  double high = 0;
};
// Wilson score interval at 95 % of `successes` of `trials`; trials >= 1.
Interval WilsonInterval(int64_t successes, int64_t trials);

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_EVAL_PROBES_H_
