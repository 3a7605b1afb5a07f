// Linear classification by ridge regression to one-hot targets.
#ifndef IJEPA_WORKER_JEPA_EVAL_RIDGE_H_
#define IJEPA_WORKER_JEPA_EVAL_RIDGE_H_

#include <cstdint>
#include <vector>

#include "worker/jepa/eval/rows.h"
#include "worker/jepa/plan/random.h"

namespace jepa {

// The class of each row of `queries`. Features are standardised by the rows of `fit`; the strength
// is the one of {1e-4 ... 10} x rows that classifies best a fifth of `fit`, chosen by `random`,
// when fitted to the rest (of equals the strongest). `fit` has at least one row.
std::vector<int32_t> ClassifyLinearly(const LabelledRows& fit, const RowMatrix& queries,
                                      Philox& random);

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_EVAL_RIDGE_H_
