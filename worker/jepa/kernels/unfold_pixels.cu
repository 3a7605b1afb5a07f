// Pixels to patch rows; see unfold_pixels.h. One thread per eight columns of the output: 16 or 32
// bytes written at once; reads come from the cache lines that neighbouring threads share.
#include "worker/jepa/kernels/launch.cuh"
#include "worker/jepa/kernels/unfold_pixels.h"

namespace jepa {
namespace {

constexpr int kThreads = 256;

template <typename T>
__global__ void __launch_bounds__(kThreads) UnfoldPixelsKernel(UnfoldPixels a, int64_t count) {
  const int64_t index = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (index < count) UnfoldPixelsThread<T>(a, index);
}

}  // namespace

const char* LaunchUnfoldPixels(const UnfoldPixels& args, void* stream) {
  const int64_t rows = args.images * args.grid_height * args.grid_width;
  const int64_t count = rows * (args.columns / kColumns);
  if (count == 0) return nullptr;
  const auto blocks = static_cast<unsigned>((count + kThreads - 1) / kThreads);
  const auto cuda_stream = static_cast<cudaStream_t>(stream);
  if (args.type == FloatType::kBfloat16) {
    UnfoldPixelsKernel<Bf16><<<blocks, kThreads, 0, cuda_stream>>>(args, count);
  } else {
    UnfoldPixelsKernel<float><<<blocks, kThreads, 0, cuda_stream>>>(args, count);
  }
  return LaunchError();
}

}  // namespace jepa
