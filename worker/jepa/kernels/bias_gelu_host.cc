// The kernels of bias_gelu.h on host memory: the same threads, one after the other.
#include <algorithm>

#include "worker/jepa/kernels/bias_gelu_thread.h"
#include "worker/jepa/kernels/column_sum.h"

namespace jepa {
namespace {

template <typename Thread>
void ForAllThreads(int64_t rows, int64_t width, Thread thread) {
  const int64_t groups = BiasGeluPartials(rows, width);
  for (int64_t group = 0; group < groups; ++group) {
    for (int64_t column = 0; column < width; column += kColumns) thread(group, groups, column);
  }
}

}  // namespace

int64_t BiasGeluPartials(int64_t rows, int64_t width) {
  constexpr int64_t kThreadsInAll = 132 * 1024;  // Half of what the SMs of an H200 hold.
  const int64_t wanted = std::clamp<int64_t>(kThreadsInAll * kColumns / width, 64, 1024);
  return std::min(rows, wanted);
}

void BiasGeluOnHost(const BiasGeluForward& args) {
  ForAllThreads(args.rows, args.width, [&](int64_t first, int64_t step, int64_t column) {
    args.type == FloatType::kBfloat16 ? BiasGeluThread<Bf16>(args, first, step, column)
                                      : BiasGeluThread<float>(args, first, step, column);
  });
}

void BiasGeluBackwardOnHost(const BiasGeluBackward& args) {
  ForAllThreads(args.rows, args.width, [&](int64_t first, int64_t step, int64_t column) {
    args.type == FloatType::kBfloat16 ? BiasGeluBackwardThread<Bf16>(args, first, step, column)
                                      : BiasGeluBackwardThread<float>(args, first, step, column);
  });
  ColumnSumOnHost({.in = args.partial,
                   .rows = BiasGeluPartials(args.rows, args.width),
                   .columns = args.width,
                   .stride = args.width,
                   .out = args.grad_bias,
                   .accumulate = args.accumulate});
}

}  // namespace jepa
