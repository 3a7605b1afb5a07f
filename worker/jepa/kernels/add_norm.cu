// Residual addition and LayerNorm; see add_norm.h. One block takes rows blockIdx.x, blockIdx.x +
// gridDim.x, ...; a thread keeps its eight columns in registers from the load to the store.
#include "worker/jepa/kernels/add_norm_thread.h"
#include "worker/jepa/kernels/column_sum.h"
#include "worker/jepa/kernels/launch.cuh"

namespace jepa {
namespace {

constexpr int kMaxThreads = kMaxNormWidth / kColumns;
constexpr int64_t kMaxForwardBlocks = 132 * 32;  // Rows are dealt out to at most these.

__global__ void __launch_bounds__(kMaxThreads) AddNormKernel(AddNormForward a) {
  __shared__ float shared[2][2][32];
  BlockSum block_sum(shared);
  const int64_t column = static_cast<int64_t>(threadIdx.x) * kColumns;
  for (int64_t row = blockIdx.x; row < a.rows; row += gridDim.x) {
    AddNormThread thread;
    const float mean = block_sum(thread.Load(a, row, column)) / a.width;
    const float squares = block_sum(thread.Squares(a, column, mean));
    thread.Store(a, row, column, mean, InverseDeviation(squares, a.width, a.eps));
  }
}

__global__ void __launch_bounds__(kMaxThreads) AddNormBackwardKernel(AddNormBackward a) {
  __shared__ float shared[2][2][32];
  BlockSum block_sum(shared);
  const int64_t column = static_cast<int64_t>(threadIdx.x) * kColumns;
  AddNormBackwardThread thread;
  thread.Begin(a, column);
  for (int64_t row = blockIdx.x; row < a.rows; row += gridDim.x) {
    float sum_w, sum_wh;
    thread.Load(a, row, column, &sum_w, &sum_wh);
    block_sum(&sum_w, &sum_wh);
    thread.Store(a, row, column, sum_w, sum_wh);
  }
  thread.End(a, blockIdx.x, column);
}

}  // namespace

const char* LaunchAddNorm(const AddNormForward& args, void* stream) {
  if (args.rows == 0) return nullptr;
  const int64_t blocks = args.rows < kMaxForwardBlocks ? args.rows : kMaxForwardBlocks;
  AddNormKernel<<<static_cast<unsigned>(blocks), NormThreads(args.width), 0,
                  static_cast<cudaStream_t>(stream)>>>(args);
  return LaunchError();
}

const char* LaunchAddNormBackward(const AddNormBackward& args, void* stream) {
  const int64_t partials = AddNormPartials(args.rows, args.width);
  if (args.rows > 0) {
    AddNormBackwardKernel<<<static_cast<unsigned>(partials), NormThreads(args.width), 0,
                            static_cast<cudaStream_t>(stream)>>>(args);
    if (const char* error = LaunchError(); error != nullptr) return error;
  }
  ColumnSum sum;  // CUDA C++17 has no designated initialisers.
  sum.in = args.partial;
  sum.rows = partials;
  sum.columns = args.width;
  sum.stride = 2 * args.width;
  sum.out = args.grad_gamma;
  sum.accumulate = args.accumulate;
  if (const char* error = LaunchColumnSum(sum, stream); error != nullptr) return error;
  sum.in += args.width;
  sum.out = args.grad_beta;
  return LaunchColumnSum(sum, stream);
}

}  // namespace jepa
