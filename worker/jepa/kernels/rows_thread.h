// The work of one thread of the kernels of rows.h.
#ifndef IJEPA_WORKER_JEPA_KERNELS_ROWS_THREAD_H_
#define IJEPA_WORKER_JEPA_KERNELS_ROWS_THREAD_H_

#include "worker/jepa/kernels/rows.h"

namespace jepa {

struct alignas(16) SixteenBytes {
  uint32_t words[4];
};

// Copies the `index`-th sixteen bytes of the output.
IJEPA_HOST_DEVICE void GatherRowsThread(const GatherRows& a, int64_t index) {
  const int64_t pieces = a.row_bytes / static_cast<int64_t>(sizeof(SixteenBytes));
  const int64_t row = index / pieces, piece = index % pieces;
  static_cast<SixteenBytes*>(a.out)[index] =
      static_cast<const SixteenBytes*>(a.in)[a.rows[row] * pieces + piece];
}

// Eight columns of one row of the gradient.
template <typename T>
IJEPA_HOST_DEVICE void GatherRowsBackwardThread(const GatherRowsBackward& a, int64_t row,
                                                int64_t column) {
  float total[kColumns];
  for (float& value : total) value = 0;
  for (int32_t i = a.starts[row]; i < a.starts[row + 1]; ++i) {
    float grad[kColumns];
    LoadEight(static_cast<const T*>(a.grad_out) + a.order[i] * a.width + column, grad);
    for (int k = 0; k < kColumns; ++k) total[k] += grad[k];
  }
  StoreEight(total, static_cast<T*>(a.grad_in) + row * a.width + column);
}

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_KERNELS_ROWS_THREAD_H_
