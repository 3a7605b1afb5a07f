// The kernels of rows.h on host memory, and the inverse of a choice.
#include "worker/jepa/kernels/rows_thread.h"

namespace jepa {

InverseRows InvertRows(const std::vector<int32_t>& rows, int64_t in_rows) {
  InverseRows inverse;
  inverse.starts.assign(in_rows + 1, 0);
  inverse.order.resize(rows.size());
  for (int32_t row : rows) ++inverse.starts[row + 1];
  for (int64_t r = 0; r < in_rows; ++r) inverse.starts[r + 1] += inverse.starts[r];
  std::vector<int32_t> next(inverse.starts.begin(), inverse.starts.end() - 1);
  for (size_t k = 0; k < rows.size(); ++k) {
    inverse.order[next[rows[k]]++] = static_cast<int32_t>(k);
  }
  return inverse;
}

void GatherRowsOnHost(const GatherRows& args) {
  const int64_t pieces = args.row_bytes / static_cast<int64_t>(sizeof(SixteenBytes));
  for (int64_t i = 0; i < args.count * pieces; ++i) GatherRowsThread(args, i);
}

void GatherRowsBackwardOnHost(const GatherRowsBackward& args) {
  for (int64_t row = 0; row < args.in_rows; ++row) {
    for (int64_t column = 0; column < args.width; column += kColumns) {
      args.type == FloatType::kBfloat16 ? GatherRowsBackwardThread<Bf16>(args, row, column)
                                        : GatherRowsBackwardThread<float>(args, row, column);
    }
  }
}

}  // namespace jepa
