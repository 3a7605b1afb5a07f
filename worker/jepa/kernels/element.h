// What the kernels of this folder and their twins on the CPU share: bf16 as bits, vectors of eight
// columns, one definition of each conversion. A kernel is written as the work of one thread in
// functions marked IJEPA_HOST_DEVICE; the .cu file gives them a grid, the _host.cc file loops, so
// that tests check the same arithmetic and the same indices where there is no GPU.
#ifndef IJEPA_WORKER_JEPA_KERNELS_ELEMENT_H_
#define IJEPA_WORKER_JEPA_KERNELS_ELEMENT_H_

#include <cstdint>
#include <cstring>

#ifdef __CUDACC__
#include <cuda_bf16.h>
#define IJEPA_HOST_DEVICE __host__ __device__ __forceinline__
#else
#define IJEPA_HOST_DEVICE inline
#endif

namespace jepa {

enum class FloatType { kFloat32, kBfloat16 };

// A bfloat16: the upper half of a float's bits.
struct Bf16 {
  uint16_t bits = 0;
};

IJEPA_HOST_DEVICE float ToFloat(float value) { return value; }

IJEPA_HOST_DEVICE float ToFloat(Bf16 value) {
  const uint32_t bits = static_cast<uint32_t>(value.bits) << 16;
#ifdef __CUDA_ARCH__
  return __uint_as_float(bits);
#else
  float out;
  std::memcpy(&out, &bits, sizeof(out));
  return out;
#endif
}

IJEPA_HOST_DEVICE void Convert(float value, float* out) { *out = value; }

// To nearest, ties to even; NaN stays NaN.
IJEPA_HOST_DEVICE void Convert(float value, Bf16* out) {
#ifdef __CUDA_ARCH__
  out->bits = __bfloat16_as_ushort(__float2bfloat16_rn(value));
#else
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  if ((bits & 0x7fffffffu) > 0x7f800000u) {
    out->bits = 0x7fc0;
    return;
  }
  out->bits = static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
#endif
}

// Columns that a thread handles at once: 16 bytes of bf16.
inline constexpr int kColumns = 8;

// Eight neighbours; `in` aligned to 16 bytes.
IJEPA_HOST_DEVICE void LoadEight(const float* in, float (&out)[kColumns]) {
#ifdef __CUDA_ARCH__
  const float4 low = reinterpret_cast<const float4*>(in)[0];
  const float4 high = reinterpret_cast<const float4*>(in)[1];
  out[0] = low.x, out[1] = low.y, out[2] = low.z, out[3] = low.w;
  out[4] = high.x, out[5] = high.y, out[6] = high.z, out[7] = high.w;
#else
  for (int i = 0; i < kColumns; ++i) out[i] = in[i];
#endif
}

IJEPA_HOST_DEVICE void LoadEight(const Bf16* in, float (&out)[kColumns]) {
#ifdef __CUDA_ARCH__
  const uint4 packed = *reinterpret_cast<const uint4*>(in);
  const uint32_t words[4] = {packed.x, packed.y, packed.z, packed.w};
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    out[2 * i] = __uint_as_float(words[i] << 16);
    out[2 * i + 1] = __uint_as_float(words[i] & 0xffff0000u);
  }
#else
  for (int i = 0; i < kColumns; ++i) out[i] = ToFloat(in[i]);
#endif
}

IJEPA_HOST_DEVICE void StoreEight(const float (&in)[kColumns], float* out) {
#ifdef __CUDA_ARCH__
  reinterpret_cast<float4*>(out)[0] = make_float4(in[0], in[1], in[2], in[3]);
  reinterpret_cast<float4*>(out)[1] = make_float4(in[4], in[5], in[6], in[7]);
#else
  for (int i = 0; i < kColumns; ++i) out[i] = in[i];
#endif
}

IJEPA_HOST_DEVICE void StoreEight(const float (&in)[kColumns], Bf16* out) {
#ifdef __CUDA_ARCH__
  uint32_t words[4];
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    Bf16 low, high;
    Convert(in[2 * i], &low);
    Convert(in[2 * i + 1], &high);
    words[i] = low.bits | static_cast<uint32_t>(high.bits) << 16;
  }
  *reinterpret_cast<uint4*>(out) = make_uint4(words[0], words[1], words[2], words[3]);
#else
  for (int i = 0; i < kColumns; ++i) Convert(in[i], &out[i]);
#endif
}

// Elements [at, at + 8) of a tensor whose type is known at run time only: the branch is the same in
// every thread and costs nothing beside the memory access.
IJEPA_HOST_DEVICE void LoadEight(const void* in, FloatType type, int64_t at,
                                 float (&out)[kColumns]) {
  if (type == FloatType::kBfloat16) {
    LoadEight(static_cast<const Bf16*>(in) + at, out);
  } else {
    LoadEight(static_cast<const float*>(in) + at, out);
  }
}

IJEPA_HOST_DEVICE void StoreEight(const float (&in)[kColumns], void* out, FloatType type,
                                  int64_t at) {
  if (type == FloatType::kBfloat16) {
    StoreEight(in, static_cast<Bf16*>(out) + at);
  } else {
    StoreEight(in, static_cast<float*>(out) + at);
  }
}

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_KERNELS_ELEMENT_H_
