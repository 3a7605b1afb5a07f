// Choice of rows; see rows.h. Forward: one thread per 16 bytes of the output, grid-stride.
// Backward: one thread per eight columns of a row of the gradient.
#include "worker/jepa/kernels/launch.cuh"
#include "worker/jepa/kernels/rows_thread.h"

namespace jepa {
namespace {

constexpr int kThreads = 256;
constexpr int64_t kMaxBlocks = 132 * 32;

__global__ void __launch_bounds__(kThreads) GatherRowsKernel(GatherRows a, int64_t pieces) {
  const int64_t stride = static_cast<int64_t>(gridDim.x) * kThreads;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; i < pieces;
       i += stride) {
    GatherRowsThread(a, i);
  }
}

template <typename T>
__global__ void __launch_bounds__(kThreads) GatherRowsBackwardKernel(GatherRowsBackward a) {
  const int64_t groups = a.width / kColumns;
  const int64_t index = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (index >= a.in_rows * groups) return;
  GatherRowsBackwardThread<T>(a, index / groups, index % groups * kColumns);
}

}  // namespace

const char* LaunchGatherRows(const GatherRows& args, void* stream) {
  const int64_t pieces = args.count * (args.row_bytes / sizeof(SixteenBytes));
  if (pieces == 0) return nullptr;
  const int64_t wanted = (pieces + kThreads - 1) / kThreads;
  const auto blocks = static_cast<unsigned>(wanted < kMaxBlocks ? wanted : kMaxBlocks);
  GatherRowsKernel<<<blocks, kThreads, 0, static_cast<cudaStream_t>(stream)>>>(args, pieces);
  return LaunchError();
}

const char* LaunchGatherRowsBackward(const GatherRowsBackward& args, void* stream) {
  const int64_t threads = args.in_rows * (args.width / kColumns);
  if (threads == 0) return nullptr;
  const auto blocks = static_cast<unsigned>((threads + kThreads - 1) / kThreads);
  const auto cuda_stream = static_cast<cudaStream_t>(stream);
  if (args.type == FloatType::kBfloat16) {
    GatherRowsBackwardKernel<Bf16><<<blocks, kThreads, 0, cuda_stream>>>(args);
  } else {
    GatherRowsBackwardKernel<float><<<blocks, kThreads, 0, cuda_stream>>>(args);
  }
  return LaunchError();
}

}  // namespace jepa
