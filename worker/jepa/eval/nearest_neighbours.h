// k-nearest-neighbour classification by cosine similarity.
#ifndef IJEPA_WORKER_JEPA_EVAL_NEAREST_NEIGHBOURS_H_
#define IJEPA_WORKER_JEPA_EVAL_NEAREST_NEIGHBOURS_H_

#include <cstdint>
#include <vector>

#include "worker/jepa/eval/rows.h"

namespace jepa {

// The class of each row of `queries`: the most frequent among the `neighbours` rows of `fit` with
// the highest cosine; of equally frequent ones that with the nearest member. Rows at the same
// similarity count in order. `fit` has at least one row.
std::vector<int32_t> ClassifyByNeighbours(const LabelledRows& fit, const RowMatrix& queries,
                                          int neighbours);

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_EVAL_NEAREST_NEIGHBOURS_H_
