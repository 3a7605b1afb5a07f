// The kernels of add_norm.h and column_sum.h on host memory: the same threads, one after the other.
#include <algorithm>
#include <vector>

#include "worker/jepa/kernels/add_norm_thread.h"
#include "worker/jepa/kernels/column_sum.h"

namespace jepa {
namespace {

// The order of BlockSum: a butterfly within each warp, then warp after warp.
float SumOfThreads(std::vector<float> values) {
  float sum = 0;
  for (size_t first = 0; first < values.size(); first += kWarp) {
    for (int offset = kWarp / 2; offset > 0; offset /= 2) {
      float next[kWarp];
      for (int lane = 0; lane < kWarp; ++lane) {
        next[lane] = values[first + lane] + values[first + (lane ^ offset)];
      }
      std::copy(next, next + kWarp, values.begin() + static_cast<int64_t>(first));
    }
    sum += values[first];
  }
  return sum;
}

void ForwardRows(const AddNormForward& a) {
  const int threads = NormThreads(a.width);
  std::vector<AddNormThread> block(threads);
  std::vector<float> parts(threads);
  for (int64_t row = 0; row < a.rows; ++row) {
    for (int t = 0; t < threads; ++t) parts[t] = block[t].Load(a, row, int64_t{t} * kColumns);
    const float mean = SumOfThreads(parts) / a.width;
    for (int t = 0; t < threads; ++t) parts[t] = block[t].Squares(a, int64_t{t} * kColumns, mean);
    const float rstd = InverseDeviation(SumOfThreads(parts), a.width, a.eps);
    for (int t = 0; t < threads; ++t) block[t].Store(a, row, int64_t{t} * kColumns, mean, rstd);
  }
}

void BackwardRows(const AddNormBackward& a) {
  const int threads = NormThreads(a.width);
  const int64_t blocks = AddNormPartials(a.rows, a.width);
  std::vector<AddNormBackwardThread> block(threads);
  std::vector<float> parts_w(threads), parts_wh(threads);
  for (int64_t b = 0; b < blocks; ++b) {
    for (int t = 0; t < threads; ++t) block[t].Begin(a, int64_t{t} * kColumns);
    for (int64_t row = b; row < a.rows; row += blocks) {
      for (int t = 0; t < threads; ++t) {
        block[t].Load(a, row, int64_t{t} * kColumns, &parts_w[t], &parts_wh[t]);
      }
      const float sum_w = SumOfThreads(parts_w), sum_wh = SumOfThreads(parts_wh);
      for (int t = 0; t < threads; ++t) {
        block[t].Store(a, row, int64_t{t} * kColumns, sum_w, sum_wh);
      }
    }
    for (int t = 0; t < threads; ++t) block[t].End(a, b, int64_t{t} * kColumns);
  }
}

}  // namespace

int64_t AddNormPartials(int64_t rows, int64_t width) {
  constexpr int64_t kThreadsInAll = 528 * 160;  // Four blocks per SM of an H200 at width 1280.
  const int64_t wanted = std::clamp<int64_t>(kThreadsInAll * kColumns / width, 264, 2112);
  return std::min(rows, wanted);
}

void AddNormOnHost(const AddNormForward& args) { ForwardRows(args); }

void AddNormBackwardOnHost(const AddNormBackward& args) {
  BackwardRows(args);
  ColumnSum sum{.in = args.partial,
                .rows = AddNormPartials(args.rows, args.width),
                .columns = args.width,
                .stride = 2 * args.width,
                .out = args.grad_gamma,
                .accumulate = args.accumulate};
  ColumnSumOnHost(sum);
  sum.in += args.width;
  sum.out = args.grad_beta;
  ColumnSumOnHost(sum);
}

void ColumnSumOnHost(const ColumnSum& args) {
  for (int64_t column = 0; column < args.columns; ++column) {
    float sum = args.accumulate ? args.out[column] : 0;
    for (int group = 0; group < kSumGroups; ++group) {
      float total = 0;
      for (int64_t row = group; row < args.rows; row += kSumGroups) {
        total += args.in[row * args.stride + column];
      }
      sum += total;
    }
    args.out[column] = sum;
  }
}

}  // namespace jepa
