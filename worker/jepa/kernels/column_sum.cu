// Column sums; see column_sum.h. A block has 32 neighbouring columns and kSumGroups rows at a time.
#include "worker/jepa/kernels/column_sum.h"
#include "worker/jepa/kernels/launch.cuh"

namespace jepa {
namespace {

__global__ void __launch_bounds__(32 * kSumGroups) ColumnSumKernel(ColumnSum a) {
  __shared__ float groups[kSumGroups][32];
  const int64_t column = static_cast<int64_t>(blockIdx.x) * 32 + threadIdx.x;
  float total = 0;
  if (column < a.columns) {
#pragma unroll 8
    for (int64_t row = threadIdx.y; row < a.rows; row += kSumGroups) {
      total += a.in[row * a.stride + column];
    }
  }
  groups[threadIdx.y][threadIdx.x] = total;
  __syncthreads();
  if (threadIdx.y != 0 || column >= a.columns) return;
  float sum = a.accumulate ? a.out[column] : 0;
#pragma unroll
  for (int group = 0; group < kSumGroups; ++group) sum += groups[group][threadIdx.x];
  a.out[column] = sum;
}

}  // namespace

const char* LaunchColumnSum(const ColumnSum& args, void* stream) {
  if (args.columns == 0) return nullptr;
  const auto blocks = static_cast<unsigned>((args.columns + 31) / 32);
  ColumnSumKernel<<<blocks, dim3(32, kSumGroups), 0, static_cast<cudaStream_t>(stream)>>>(args);
  return LaunchError();
}

}  // namespace jepa
