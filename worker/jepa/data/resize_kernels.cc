// Plain loops that the compiler vectorises, built twice on x86: for the base instruction set and
// for AVX2, chosen at run time. Integer arithmetic: both give the same bits.
#include "worker/jepa/data/resize_kernels.h"

#include <algorithm>
#include <cstring>

namespace jepa {
namespace {

constexpr int32_t kHalf = 1 << (kWeightBits - 1);

using Int4 = int32_t __attribute__((vector_size(16)));
using Byte4 = uint8_t __attribute__((vector_size(4)));

#define IJEPA_INLINE inline __attribute__((always_inline))

IJEPA_INLINE void RowLoop(const uint8_t* in, const ResizeTaps& taps, uint8_t* out) {
  const int outputs = taps.outputs();
  const int32_t* weights = taps.weights.data();
  for (int x = 0; x < outputs; ++x, weights += taps.stride, out += 3) {
    const uint8_t* pixel = in + taps.first[x] * 3;
    Int4 sum = {kHalf, kHalf, kHalf, 0};
    const int count = taps.count[x];
    for (int k = 0; k < count; ++k, pixel += 3) {
      Byte4 rgb_and_next;
      std::memcpy(&rgb_and_next, pixel, 4);
      sum += __builtin_convertvector(rgb_and_next, Int4) * weights[k];
    }
    for (int c = 0; c < 3; ++c) out[c] = static_cast<uint8_t>(std::min(sum[c] >> kWeightBits, 255));
  }
}

IJEPA_INLINE void ColumnLoop(const RowBlock& in, const int32_t* weights, size_t bytes,
                             int32_t* __restrict sums, uint8_t* __restrict out) {
  for (size_t i = 0; i < bytes; ++i) sums[i] = kHalf;
  for (int k = 0; k < in.count; ++k) {
    const uint8_t* __restrict row = in.rows + in.stride * k;
    const int32_t weight = weights[k];
    for (size_t i = 0; i < bytes; ++i) sums[i] += row[i] * weight;
  }
  for (size_t i = 0; i < bytes; ++i) {
    out[i] = static_cast<uint8_t>(std::min(sums[i] >> kWeightBits, 255));
  }
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) void RowLoopAvx2(const uint8_t* in, const ResizeTaps& taps,
                                                 uint8_t* out) {
  RowLoop(in, taps, out);
}
__attribute__((target("avx2"))) void ColumnLoopAvx2(const RowBlock& in, const int32_t* weights,
                                                    size_t bytes, int32_t* sums, uint8_t* out) {
  ColumnLoop(in, weights, bytes, sums, out);
}
bool HasAvx2() { return __builtin_cpu_supports("avx2"); }
#else
void RowLoopAvx2(const uint8_t*, const ResizeTaps&, uint8_t*) {}
void ColumnLoopAvx2(const RowBlock&, const int32_t*, size_t, int32_t*, uint8_t*) {}
bool HasAvx2() { return false; }
#endif

}  // namespace

void ResizeRow(const uint8_t* in, const ResizeTaps& taps, uint8_t* out) {
  if (HasAvx2()) {
    RowLoopAvx2(in, taps, out);
  } else {
    RowLoop(in, taps, out);
  }
}

void ResizeColumns(const RowBlock& in, const int32_t* weights, size_t bytes, int32_t* sums,
                   uint8_t* out) {
  if (HasAvx2()) {
    ColumnLoopAvx2(in, weights, bytes, sums, out);
  } else {
    ColumnLoop(in, weights, bytes, sums, out);
  }
}

}  // namespace jepa
