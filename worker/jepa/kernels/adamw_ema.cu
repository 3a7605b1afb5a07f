// AdamW and EMA in one pass; see adamw_ema.h. Memory-bound. One thread handles eight neighbouring
// floats (16-byte transactions), grid-stride over the range.
#include "worker/jepa/kernels/adamw_ema_thread.h"
#include "worker/jepa/kernels/launch.cuh"

namespace jepa {
namespace {

constexpr int kThreads = 256;
constexpr int64_t kMaxBlocks = 132 * 16;  // Enough waves for the SMs of an H200.

// Both halves of the update, or what follows AdamW alone.
template <bool kWithAdamw>
__global__ void __launch_bounds__(kThreads)
    AdamwEmaKernel(AdamwEmaRange range, const UpdateState* state) {
  if (state->apply == 0) return;
  const AdamwEmaScalars scalars = state->scalars;
  const auto eight = [&](int64_t at) {
    kWithAdamw ? AdamwEmaEight(range, scalars, at) : EmaEight(range, scalars, at);
  };
  const auto one = [&](int64_t at) {
    kWithAdamw ? AdamwEmaOne(range, scalars, at) : EmaOne(range, scalars, at);
  };
  const int64_t stride = static_cast<int64_t>(gridDim.x) * kThreads;
  const int64_t first = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  const int64_t eights = range.count / kColumns;
  for (int64_t i = first; i < eights; i += stride) eight(i * kColumns);
  if (first < range.count % kColumns) one(eights * kColumns + first);
}

template <bool kWithAdamw>
const char* LaunchUpdate(const AdamwEmaRange& range, const UpdateState* state, void* stream) {
  if (range.count == 0) return nullptr;
  const int64_t wanted = (range.count / kColumns + kThreads - 1) / kThreads;
  const int64_t blocks = wanted < 1 ? 1 : (wanted < kMaxBlocks ? wanted : kMaxBlocks);
  AdamwEmaKernel<kWithAdamw>
      <<<static_cast<unsigned>(blocks), kThreads, 0, static_cast<cudaStream_t>(stream)>>>(range,
                                                                                          state);
  return LaunchError();
}

// Sums one double per thread in a fixed order; the result is in thread 0.
__device__ double BlockTotal(double value) {
  __shared__ double shared[kThreads];
  shared[threadIdx.x] = value;
  __syncthreads();
  for (int half = kThreads / 2; half > 0; half /= 2) {
    if (threadIdx.x < half) shared[threadIdx.x] += shared[threadIdx.x + half];
    __syncthreads();
  }
  return shared[0];
}

__global__ void __launch_bounds__(kThreads)
    GradientNormKernel(const float* grad, int64_t count, double* partial) {
  const int64_t stride = static_cast<int64_t>(gridDim.x) * kThreads;
  const int64_t first = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  const double total = BlockTotal(SquaresThread(grad, count, first, stride));
  if (threadIdx.x == 0) partial[blockIdx.x] = total;
}

__global__ void __launch_bounds__(kThreads)
    PrepareUpdateKernel(UpdateRequest request, const double* partial, const float* loss,
                        UpdateState* state) {
  double squares = 0;
  for (int64_t i = threadIdx.x; i < kNormPartials; i += kThreads) squares += partial[i];
  squares = BlockTotal(squares);
  if (threadIdx.x == 0) PrepareUpdateThread(request, squares, *loss, state);
}

}  // namespace

const char* LaunchGradientNorm(const float* grad, int64_t count, double* partial, void* stream) {
  GradientNormKernel<<<static_cast<unsigned>(kNormPartials), kThreads, 0,
                       static_cast<cudaStream_t>(stream)>>>(grad, count, partial);
  return LaunchError();
}

const char* LaunchPrepareUpdate(const UpdateRequest& request, const double* partial,
                                const float* loss, UpdateState* state, void* stream) {
  PrepareUpdateKernel<<<1, kThreads, 0, static_cast<cudaStream_t>(stream)>>>(request, partial, loss,
                                                                             state);
  return LaunchError();
}

const char* LaunchAdamwEma(const AdamwEmaRange& range, const UpdateState* state, void* stream) {
  return LaunchUpdate</*kWithAdamw=*/true>(range, state, stream);
}

const char* LaunchEma(const AdamwEmaRange& range, const UpdateState* state, void* stream) {
  return LaunchUpdate</*kWithAdamw=*/false>(range, state, stream);
}

}  // namespace jepa
