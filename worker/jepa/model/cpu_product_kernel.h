// Vectors of eight floats and small products of matrices, the tools of cpu_attention_kernel.h;
// compiled once per instruction set with it, in the namespace JEPA_CPU_ATTENTION_NAMESPACE. Uses
// nothing of the standard library, so that no inline function compiled for AVX2 can be linked into
// other code.
//
// Products are C[M, N] (+)= A * B with A read by two strides (so that it may be transposed) and B
// in rows; a tile of 6 x 16 of C stays in registers.
#ifndef IJEPA_WORKER_JEPA_MODEL_CPU_PRODUCT_KERNEL_H_
#define IJEPA_WORKER_JEPA_MODEL_CPU_PRODUCT_KERNEL_H_

#include <cstdint>

#include "worker/jepa/model/cpu_attention.h"

namespace jepa {
namespace JEPA_CPU_ATTENTION_NAMESPACE {
namespace {

typedef float Vec __attribute__((vector_size(32)));
typedef float VecU __attribute__((vector_size(32), aligned(4)));
typedef int VecI __attribute__((vector_size(32)));

constexpr int64_t kLanes = kCpuAttentionLanes;

inline Vec Load(const float* p) { return *reinterpret_cast<const VecU*>(p); }
inline void Store(float* p, Vec v) { *reinterpret_cast<VecU*>(p) = v; }
inline Vec Splat(float x) { return Vec{x, x, x, x, x, x, x, x}; }

inline float Sum(Vec v) {
  return ((v[0] + v[4]) + (v[1] + v[5])) + ((v[2] + v[6]) + (v[3] + v[7]));
}

// exp for x <= 0, relative error below 2e-7; 0 far below. Cephes' expf polynomial.
inline Vec Exp(Vec x) {
  const Vec lowest = Splat(-87.0f);
  x = x > lowest ? x : lowest;
  const Vec magic = Splat(12582912.0f);  // 1.5 * 2^23: adding it rounds to an integer.
  const Vec shifted = x * 1.44269504088896341f + magic;
  const Vec n = shifted - magic;
  const Vec r = x - n * 0.693359375f + n * 2.12194440e-4f;
  Vec p = Splat(1.9875691500e-4f);
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  const VecI exponent = (reinterpret_cast<VecI>(shifted) - reinterpret_cast<VecI>(magic) + 127)
                        << 23;
  return p * reinterpret_cast<Vec>(exponent);
}

struct Matrix {
  const float* data;
  int64_t row_stride;
  int64_t column_stride;
};

struct Product {
  Matrix a;        // [M, K]
  const float* b;  // [K, N], rows of b_stride.
  int64_t b_stride;
  float* c;  // [M, N], rows of c_stride.
  int64_t c_stride;
  int64_t depth;  // K
  bool accumulate;
};

template <int kRows, int kVecs>
inline void Tile(const Product& product, int64_t row, int64_t column) {
  Vec sum[kRows][kVecs];
  float* c = product.c + row * product.c_stride + column;
  for (int i = 0; i < kRows; ++i) {
    for (int j = 0; j < kVecs; ++j) {
      sum[i][j] = product.accumulate ? Load(c + i * product.c_stride + j * kLanes) : Splat(0.0f);
    }
  }
  const float* a = product.a.data + row * product.a.row_stride;
  const float* b = product.b + column;
  for (int64_t k = 0; k < product.depth; ++k) {
    Vec b_vec[kVecs];
    for (int j = 0; j < kVecs; ++j) b_vec[j] = Load(b + j * kLanes);
    for (int i = 0; i < kRows; ++i) {
      const Vec a_vec = Splat(a[i * product.a.row_stride]);
      for (int j = 0; j < kVecs; ++j) sum[i][j] += a_vec * b_vec[j];
    }
    a += product.a.column_stride;
    b += product.b_stride;
  }
  for (int i = 0; i < kRows; ++i) {
    for (int j = 0; j < kVecs; ++j) Store(c + i * product.c_stride + j * kLanes, sum[i][j]);
  }
}

template <int kVecs>
void Columns(const Product& product, int64_t rows, int64_t column) {
  int64_t row = 0;
  for (; row + 6 <= rows; row += 6) Tile<6, kVecs>(product, row, column);
  switch (rows - row) {
    case 5:
      return Tile<5, kVecs>(product, row, column);
    case 4:
      return Tile<4, kVecs>(product, row, column);
    case 3:
      return Tile<3, kVecs>(product, row, column);
    case 2:
      return Tile<2, kVecs>(product, row, column);
    case 1:
      return Tile<1, kVecs>(product, row, column);
    default:
      return;
  }
}

// columns is a multiple of kLanes.
void Multiply(const Product& product, int64_t rows, int64_t columns) {
  int64_t column = 0;
  for (; column + 2 * kLanes <= columns; column += 2 * kLanes) Columns<2>(product, rows, column);
  if (column < columns) Columns<1>(product, rows, column);
}

}  // namespace
}  // namespace JEPA_CPU_ATTENTION_NAMESPACE
}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_MODEL_CPU_PRODUCT_KERNEL_H_
