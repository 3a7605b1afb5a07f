// The work of one thread of the kernels of bias_gelu.h: eight columns, in rows first, first + step,
// ... .
#ifndef IJEPA_WORKER_JEPA_KERNELS_BIAS_GELU_THREAD_H_
#define IJEPA_WORKER_JEPA_KERNELS_BIAS_GELU_THREAD_H_

#include <math.h>

#include "worker/jepa/kernels/bias_gelu.h"

namespace jepa {

IJEPA_HOST_DEVICE float Gelu(float x) {
  constexpr float kInverseSqrt2 = 0.70710678118654752440f;
  return 0.5f * x * (1.0f + erff(x * kInverseSqrt2));
}

// Phi(x) + x * phi(x).
IJEPA_HOST_DEVICE float GeluSlope(float x) {
  constexpr float kInverseSqrt2 = 0.70710678118654752440f;
  constexpr float kInverseSqrt2Pi = 0.39894228040143267794f;
  return 0.5f * (1.0f + erff(x * kInverseSqrt2)) + x * kInverseSqrt2Pi * expf(-0.5f * x * x);
}

template <typename T>
IJEPA_HOST_DEVICE void BiasGeluThread(const BiasGeluForward& a, int64_t first, int64_t step,
                                      int64_t column) {
  if (column >= a.width) return;
  float bias[kColumns];
  LoadEight(a.bias + column, bias);
  for (int64_t row = first; row < a.rows; row += step) {
    const int64_t at = row * a.width + column;
    float x[kColumns];
    LoadEight(static_cast<const T*>(a.product) + at, x);
    for (int i = 0; i < kColumns; ++i) x[i] = Gelu(x[i] + bias[i]);
    StoreEight(x, static_cast<T*>(a.out) + at);
  }
}

// `first` is also the number of the row group whose partial sums this thread writes.
template <typename T>
IJEPA_HOST_DEVICE void BiasGeluBackwardThread(const BiasGeluBackward& a, int64_t first,
                                              int64_t step, int64_t column) {
  if (column >= a.width) return;
  float bias[kColumns], grad_bias[kColumns];
  LoadEight(a.bias + column, bias);
  for (float& value : grad_bias) value = 0;
  for (int64_t row = first; row < a.rows; row += step) {
    const int64_t at = row * a.width + column;
    float x[kColumns], grad[kColumns];
    LoadEight(static_cast<const T*>(a.product) + at, x);
    LoadEight(static_cast<const T*>(a.grad_out) + at, grad);
    for (int i = 0; i < kColumns; ++i) {
      grad[i] *= GeluSlope(x[i] + bias[i]);
      grad_bias[i] += grad[i];
    }
    StoreEight(grad, static_cast<T*>(a.grad_product) + at);
  }
  StoreEight(grad_bias, a.partial + first * a.width + column);
}

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_KERNELS_BIAS_GELU_THREAD_H_
