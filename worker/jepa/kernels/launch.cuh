// Pieces that the .cu files share.
#ifndef IJEPA_WORKER_JEPA_KERNELS_LAUNCH_CUH_
#define IJEPA_WORKER_JEPA_KERNELS_LAUNCH_CUH_

#include <cuda_runtime.h>

namespace jepa {

// The error of the launch just made, or null.
inline const char* LaunchError() {
  const cudaError_t error = cudaGetLastError();
  return error == cudaSuccess ? nullptr : cudaGetErrorString(error);
}

__device__ __forceinline__ float WarpSum(float value) {
#pragma unroll
  for (int offset = 16; offset > 0; offset /= 2) value += __shfl_xor_sync(~0u, value, offset);
  return value;
}

// Sums over the threads of a block of whole warps; every thread gets the result. Two buffers in
// turn: a warp that runs ahead writes to the one that nobody still reads, so one barrier per sum
// is enough.
class BlockSum {
 public:
  __device__ explicit BlockSum(float (*shared)[2][32]) : shared_(shared) {}

  __device__ __forceinline__ void operator()(float* a, float* b) {
    float(*buffer)[32] = shared_[turn_];
    turn_ ^= 1;
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;
    const float warp_a = WarpSum(*a), warp_b = WarpSum(*b);
    if (lane == 0) {
      buffer[0][warp] = warp_a;
      buffer[1][warp] = warp_b;
    }
    __syncthreads();
    *a = *b = 0;
    for (int i = 0; i < warps; ++i) {
      *a += buffer[0][i];
      *b += buffer[1][i];
    }
  }

  __device__ __forceinline__ float operator()(float a) {
    float unused = 0;
    (*this)(&a, &unused);
    return a;
  }

 private:
  float (*shared_)[2][32];
  int turn_ = 0;
};

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_KERNELS_LAUNCH_CUH_
