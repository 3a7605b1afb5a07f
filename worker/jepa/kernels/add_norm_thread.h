// The work of one thread of the kernels of add_norm.h: eight columns of a row. A block has a thread
// for every eight columns and takes whole rows; between two steps it sums one number over its
// threads. Idle threads (column >= width) take part in the sums with zeros.
#ifndef IJEPA_WORKER_JEPA_KERNELS_ADD_NORM_THREAD_H_
#define IJEPA_WORKER_JEPA_KERNELS_ADD_NORM_THREAD_H_

#include <math.h>

#include "worker/jepa/kernels/add_norm.h"

namespace jepa {

// Threads of a block: one per eight columns, whole warps.
inline constexpr int kWarp = 32;
inline int NormThreads(int64_t width) {
  const int wanted = static_cast<int>((width + kColumns - 1) / kColumns);
  return (wanted + kWarp - 1) / kWarp * kWarp;
}

struct AddNormThread {
  float x[kColumns];

  // Makes the sum and returns this thread's part of the row's total.
  IJEPA_HOST_DEVICE float Load(const AddNormForward& a, int64_t row, int64_t column) {
    for (float& value : x) value = 0;
    if (column >= a.width) return 0;
    const int64_t at = row * a.width + column;
    LoadEight(a.residual, a.residual_type, at, x);
    if (a.branch != nullptr) {
      float branch[kColumns];
      LoadEight(a.branch, a.branch_type, at, branch);
      for (int i = 0; i < kColumns; ++i) x[i] += branch[i];
      StoreEight(x, a.sum, a.sum_type, at);
    }
    float total = 0;
    for (float value : x) total += value;
    return total;
  }

  IJEPA_HOST_DEVICE float Squares(const AddNormForward& a, int64_t column, float mean) const {
    if (column >= a.width) return 0;
    float squares = 0;
    for (float value : x) squares += (value - mean) * (value - mean);
    return squares;
  }

  IJEPA_HOST_DEVICE void Store(const AddNormForward& a, int64_t row, int64_t column, float mean,
                               float rstd) const {
    if (column == 0) {
      a.mean[row] = mean;
      a.rstd[row] = rstd;
    }
    if (column >= a.width) return;
    float gamma[kColumns], beta[kColumns], out[kColumns];
    LoadEight(a.gamma + column, gamma);
    LoadEight(a.beta + column, beta);
    for (int i = 0; i < kColumns; ++i) out[i] = (x[i] - mean) * rstd * gamma[i] + beta[i];
    StoreEight(out, a.normed, a.normed_type, row * a.width + column);
  }
};

// With h = (x - mean) * rstd and w = grad * gamma:
// dx = rstd * (w - mean(w) - h * mean(w * h)); dgamma = sum of grad * h; dbeta = sum of grad.
struct AddNormBackwardThread {
  float gamma[kColumns];
  float grad_gamma[kColumns];  // Over the rows of this block.
  float grad_beta[kColumns];
  float weighted[kColumns];
  float hat[kColumns];

  IJEPA_HOST_DEVICE void Begin(const AddNormBackward& a, int64_t column) {
    for (int i = 0; i < kColumns; ++i) gamma[i] = grad_gamma[i] = grad_beta[i] = 0;
    if (column < a.width) LoadEight(a.gamma + column, gamma);
  }

  // The thread's parts of the row's sums of w and w * h.
  IJEPA_HOST_DEVICE void Load(const AddNormBackward& a, int64_t row, int64_t column, float* sum_w,
                              float* sum_wh) {
    *sum_w = *sum_wh = 0;
    if (column >= a.width) return;
    const int64_t at = row * a.width + column;
    float grad[kColumns];
    LoadEight(a.grad_normed, a.normed_type, at, grad);
    LoadEight(a.sum, a.sum_type, at, hat);
    const float mean = a.mean[row], rstd = a.rstd[row];
    for (int i = 0; i < kColumns; ++i) {
      hat[i] = (hat[i] - mean) * rstd;
      weighted[i] = grad[i] * gamma[i];
      grad_gamma[i] += grad[i] * hat[i];
      grad_beta[i] += grad[i];
      *sum_w += weighted[i];
      *sum_wh += weighted[i] * hat[i];
    }
  }

  IJEPA_HOST_DEVICE void Store(const AddNormBackward& a, int64_t row, int64_t column, float sum_w,
                               float sum_wh) const {
    if (column >= a.width) return;
    const int64_t at = row * a.width + column;
    const float rstd = a.rstd[row];
    const float mean_w = sum_w / a.width, mean_wh = sum_wh / a.width;
    float out[kColumns];
    for (float& value : out) value = 0;
    if (a.grad_sum != nullptr) LoadEight(a.grad_sum, a.sum_type, at, out);
    for (int i = 0; i < kColumns; ++i) out[i] += rstd * (weighted[i] - mean_w - hat[i] * mean_wh);
    StoreEight(out, a.grad_residual, a.residual_type, at);
    if (a.grad_branch != nullptr) StoreEight(out, a.grad_branch, a.branch_type, at);
  }

  IJEPA_HOST_DEVICE void End(const AddNormBackward& a, int64_t block, int64_t column) const {
    if (column >= a.width) return;
    float* partial = a.partial + block * 2 * a.width + column;
    StoreEight(grad_gamma, partial);
    StoreEight(grad_beta, partial + a.width);
  }
};

IJEPA_HOST_DEVICE float InverseDeviation(float squares, int64_t width, float eps) {
  return 1.0f / sqrtf(squares / width + eps);
}

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_KERNELS_ADD_NORM_THREAD_H_
