// Bias and GELU; see bias_gelu.h. Grid: x over groups of eight columns, y over row groups.
#include "worker/jepa/kernels/bias_gelu_thread.h"
#include "worker/jepa/kernels/column_sum.h"
#include "worker/jepa/kernels/launch.cuh"

namespace jepa {
namespace {

constexpr int kThreads = 128;

template <typename T>
__global__ void __launch_bounds__(kThreads) BiasGeluKernel(BiasGeluForward a) {
  const int64_t column = (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) * kColumns;
  BiasGeluThread<T>(a, blockIdx.y, gridDim.y, column);
}

template <typename T>
__global__ void __launch_bounds__(kThreads) BiasGeluBackwardKernel(BiasGeluBackward a) {
  const int64_t column = (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) * kColumns;
  BiasGeluBackwardThread<T>(a, blockIdx.y, gridDim.y, column);
}

dim3 Grid(int64_t rows, int64_t width) {
  const int64_t columns = (width + kThreads * kColumns - 1) / (kThreads * kColumns);
  return dim3(static_cast<unsigned>(columns), static_cast<unsigned>(BiasGeluPartials(rows, width)));
}

}  // namespace

const char* LaunchBiasGelu(const BiasGeluForward& args, void* stream) {
  if (args.rows == 0) return nullptr;
  const dim3 grid = Grid(args.rows, args.width);
  const auto cuda_stream = static_cast<cudaStream_t>(stream);
  if (args.type == FloatType::kBfloat16) {
    BiasGeluKernel<Bf16><<<grid, kThreads, 0, cuda_stream>>>(args);
  } else {
    BiasGeluKernel<float><<<grid, kThreads, 0, cuda_stream>>>(args);
  }
  return LaunchError();
}

const char* LaunchBiasGeluBackward(const BiasGeluBackward& args, void* stream) {
  if (args.rows > 0) {
    const dim3 grid = Grid(args.rows, args.width);
    const auto cuda_stream = static_cast<cudaStream_t>(stream);
    if (args.type == FloatType::kBfloat16) {
      BiasGeluBackwardKernel<Bf16><<<grid, kThreads, 0, cuda_stream>>>(args);
    } else {
      BiasGeluBackwardKernel<float><<<grid, kThreads, 0, cuda_stream>>>(args);
    }
    if (const char* error = LaunchError(); error != nullptr) return error;
  }
  ColumnSum sum;
  sum.in = args.partial;
  sum.rows = BiasGeluPartials(args.rows, args.width);
  sum.columns = sum.stride = args.width;
  sum.out = args.grad_bias;
  sum.accumulate = args.accumulate;
  return LaunchColumnSum(sum, stream);
}

}  // namespace jepa
