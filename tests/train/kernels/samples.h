// Numbers and fp64 references for tests of the kernels, on the host and on a GPU.
#ifndef IJEPA_TESTS_TRAIN_KERNELS_SAMPLES_H_
#define IJEPA_TESTS_TRAIN_KERNELS_SAMPLES_H_

#include <cmath>
#include <cstdint>
#include <vector>

#include "worker/jepa/kernels/element.h"
#include "worker/jepa/plan/random.h"

namespace jepa::testing {

// `count` numbers of about `scale`, around `centre`; another `stream` gives others.
inline std::vector<float> Numbers(int64_t count, int stream, double centre = 0, double scale = 1) {
  Philox random(/*seed=*/11, Purpose::kCrop, static_cast<uint64_t>(stream), 0);
  std::vector<float> numbers(count);
  for (float& number : numbers) number = static_cast<float>(centre + scale * random.Normal());
  return numbers;
}

inline std::vector<Bf16> Rounded(const std::vector<float>& numbers) {
  std::vector<Bf16> rounded(numbers.size());
  for (size_t i = 0; i < numbers.size(); ++i) Convert(numbers[i], &rounded[i]);
  return rounded;
}

inline std::vector<float> Widened(const std::vector<Bf16>& numbers) {
  std::vector<float> widened(numbers.size());
  for (size_t i = 0; i < numbers.size(); ++i) widened[i] = ToFloat(numbers[i]);
  return widened;
}

// Half a step of bf16 at `value`: what one rounding may cost.
inline double HalfBf16Step(double value) { return std::abs(value) / 256 + 1e-30; }

// Residual addition and LayerNorm of ijepa-spec 1.1 with its gradients, in fp64.
struct AddNormReference {
  std::vector<double> sum, normed, grad_residual, grad_gamma, grad_beta;
};

struct AddNormSample {
  int64_t rows = 0;
  int64_t width = 0;
  double eps = 1e-6;
  std::vector<float> residual, branch, gamma, beta, grad_normed, grad_sum;
};

inline AddNormSample MakeAddNormSample(int64_t rows, int64_t width) {
  return {.rows = rows,
          .width = width,
          .residual = Numbers(rows * width, 1, 0.3),
          .branch = Numbers(rows * width, 2, 0, 0.5),
          .gamma = Numbers(width, 3, 1, 0.2),
          .beta = Numbers(width, 4, 0, 0.2),
          .grad_normed = Numbers(rows * width, 5),
          .grad_sum = Numbers(rows * width, 6)};
}

inline AddNormReference ReferenceAddNorm(const AddNormSample& s) {
  AddNormReference out;
  const int64_t count = s.rows * s.width;
  out.sum.resize(count), out.normed.resize(count), out.grad_residual.resize(count);
  out.grad_gamma.assign(s.width, 0), out.grad_beta.assign(s.width, 0);
  std::vector<double> hat(s.width), weighted(s.width);
  for (int64_t row = 0; row < s.rows; ++row) {
    const int64_t at = row * s.width;
    double mean = 0, squares = 0, mean_w = 0, mean_wh = 0;
    for (int64_t i = 0; i < s.width; ++i) {
      out.sum[at + i] = static_cast<double>(s.residual[at + i]) + s.branch[at + i];
      mean += out.sum[at + i] / s.width;
    }
    for (int64_t i = 0; i < s.width; ++i) squares += std::pow(out.sum[at + i] - mean, 2);
    const double rstd = 1 / std::sqrt(squares / s.width + s.eps);
    for (int64_t i = 0; i < s.width; ++i) {
      hat[i] = (out.sum[at + i] - mean) * rstd;
      out.normed[at + i] = hat[i] * s.gamma[i] + s.beta[i];
      weighted[i] = static_cast<double>(s.grad_normed[at + i]) * s.gamma[i];
      out.grad_gamma[i] += s.grad_normed[at + i] * hat[i];
      out.grad_beta[i] += s.grad_normed[at + i];
      mean_w += weighted[i] / s.width;
      mean_wh += weighted[i] * hat[i] / s.width;
    }
    for (int64_t i = 0; i < s.width; ++i) {
      out.grad_residual[at + i] =
          s.grad_sum[at + i] + rstd * (weighted[i] - mean_w - hat[i] * mean_wh);
    }
  }
  return out;
}

inline double ReferenceGelu(double x) { return 0.5 * x * (1 + std::erf(x / std::sqrt(2.0))); }
inline double ReferenceGeluSlope(double x) {
  return 0.5 * (1 + std::erf(x / std::sqrt(2.0))) +
         x * std::exp(-0.5 * x * x) / std::sqrt(2 * std::acos(-1.0));
}

}  // namespace jepa::testing

#endif  // IJEPA_TESTS_TRAIN_KERNELS_SAMPLES_H_
