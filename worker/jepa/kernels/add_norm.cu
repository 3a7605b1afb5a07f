// Residual addition and LayerNorm; see add_norm.h. One block takes rows blockIdx.x, blockIdx.x +
// gridDim.x, ...; a thread keeps its eight columns in registers from the load to the store.
#include "worker/jepa/kernels/add_norm_thread.h"
#include "worker/jepa/kernels/column_sum.h"
#include "worker/jepa/kernels/launch.cuh"

namespace jepa {
namespace {

constexpr int64_t kMaxForwardBlocks = 132 * 32;  // Rows are dealt out to at most these.

template <typename Branch, typename Normed>
__global__ void AddNormKernel(AddNormForward a) {
  __shared__ float shared[2][2][32];
  BlockSum block_sum(shared);
  const int64_t column = static_cast<int64_t>(threadIdx.x) * kColumns;
  for (int64_t row = blockIdx.x; row < a.rows; row += gridDim.x) {
    AddNormThread<Branch, Normed> thread;
    const float mean = block_sum(thread.Load(a, row, column)) / a.width;
    const float squares = block_sum(thread.Squares(a, column, mean));
    thread.Store(a, row, column, mean, InverseDeviation(squares, a.width, a.eps));
  }
}

template <typename Normed>
__global__ void AddNormBackwardKernel(AddNormBackward a) {
  __shared__ float shared[2][2][32];
  BlockSum block_sum(shared);
  const int64_t column = static_cast<int64_t>(threadIdx.x) * kColumns;
  AddNormBackwardThread<Normed> thread;
  thread.Begin(a, column);
  for (int64_t row = blockIdx.x; row < a.rows; row += gridDim.x) {
    float sum_w, sum_wh;
    thread.Load(a, row, column, &sum_w, &sum_wh);
    block_sum(&sum_w, &sum_wh);
    thread.Store(a, row, column, sum_w, sum_wh);
  }
  thread.End(a, blockIdx.x, column);
}

template <typename Branch>
void RunForward(const AddNormForward& a, cudaStream_t stream) {
  const auto blocks =
      static_cast<unsigned>(a.rows < kMaxForwardBlocks ? a.rows : kMaxForwardBlocks);
  const int threads = NormThreads(a.width);
  if (a.normed_type == FloatType::kBfloat16) {
    AddNormKernel<Branch, Bf16><<<blocks, threads, 0, stream>>>(a);
  } else {
    AddNormKernel<Branch, float><<<blocks, threads, 0, stream>>>(a);
  }
}

}  // namespace

const char* LaunchAddNorm(const AddNormForward& args, void* stream) {
  if (args.rows == 0) return nullptr;
  const auto cuda_stream = static_cast<cudaStream_t>(stream);
  if (args.branch_type == FloatType::kBfloat16) {
    RunForward<Bf16>(args, cuda_stream);
  } else {
    RunForward<float>(args, cuda_stream);
  }
  return LaunchError();
}

const char* LaunchAddNormBackward(const AddNormBackward& args, void* stream) {
  const int64_t partials = AddNormPartials(args.rows, args.width);
  if (args.rows > 0) {
    const auto cuda_stream = static_cast<cudaStream_t>(stream);
    const auto blocks = static_cast<unsigned>(partials);
    const int threads = NormThreads(args.width);
    if (args.normed_type == FloatType::kBfloat16) {
      AddNormBackwardKernel<Bf16><<<blocks, threads, 0, cuda_stream>>>(args);
    } else {
      AddNormBackwardKernel<float><<<blocks, threads, 0, cuda_stream>>>(args);
    }
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
