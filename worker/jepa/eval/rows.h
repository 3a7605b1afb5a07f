// Labelled feature rows: what the classifiers of the probes fit on and score.
#ifndef IJEPA_WORKER_JEPA_EVAL_ROWS_H_
#define IJEPA_WORKER_JEPA_EVAL_ROWS_H_

#include <Eigen/Dense>
#include <cstdint>
#include <vector>

namespace jepa {

// One image per row.
using RowMatrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

struct LabelledRows {
  RowMatrix features;           // All values finite.
  std::vector<int32_t> labels;  // One per row, in [0, classes).
  int classes = 0;
};

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_EVAL_ROWS_H_
