// Plain loops, and AVX2 where the machine has it, chosen at run time. (AVX-512: resize_avx512.cc.)
//
// AVX2 has no fast 32-bit product, so a weight goes in as two 16-bit halves: each product of pairs
// (vpmaddwd) adds two taps, and high * 2^15 + low is put together at the end. Sums wrap in 32 bits,
// as the final value does not: the result is exact.
#include "worker/jepa/data/resize_kernels.h"

#include <algorithm>
#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace jepa {
namespace {

constexpr int32_t kHalf = 1 << (kWeightBits - 1);
constexpr int32_t kLowMask = (1 << kLowBits) - 1;

uint8_t Rounded(int32_t sum) { return static_cast<uint8_t>(std::min(sum >> kWeightBits, 255)); }

void PlainAcross(const uint8_t* in, const ResizeTaps& taps, const PlanarRow& out) {
  for (int x = 0; x < taps.outputs(); ++x) {
    const int32_t* weights = taps.weights_of(x);
    for (int c = 0; c < out.channels; ++c) {
      const uint8_t* pixel = in + taps.first[x] * out.channels + c;
      int32_t sum = kHalf;
      for (int k = 0; k < taps.count[x]; ++k, pixel += out.channels) sum += *pixel * weights[k];
      out.data[c * out.plane + x] = Rounded(sum);
    }
  }
}

void PlainDown(const RowStack& in, size_t bytes, uint8_t* out) {
  for (size_t i = 0; i < bytes; ++i) {
    int32_t sum = kHalf;
    for (int k = 0; k < in.count; ++k) sum += in.rows[k][i] * in.weights[k];
    out[i] = Rounded(sum);
  }
}

#if defined(__x86_64__)
#define IJEPA_AVX2 __attribute__((target("avx2")))

IJEPA_AVX2 inline __m256i Load(const void* data) {
  return _mm256_loadu_si256(static_cast<const __m256i*>(data));
}

// The sums of the three channels of one output pixel, in the first three of four numbers.
template <int kFours>
IJEPA_AVX2 inline __m128i PixelSums(const uint8_t* pixel, const int16_t* halves, int fours) {
  // Four RGB pixels to pairs of 16 bits: (r0 r1)(g0 g1)(b0 b1)- and (r2 r3)(g2 g3)(b2 b3)-.
  const __m256i pairs =
      _mm256_setr_epi8(0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1, 6, -1, 9, -1, 7,
                       -1, 10, -1, 8, -1, 11, -1, -1, -1, -1, -1);
  const __m256i spread_low = _mm256_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1);
  const __m256i spread_high = _mm256_setr_epi32(2, 2, 2, 2, 3, 3, 3, 3);
  __m256i low = _mm256_setzero_si256();
  __m256i high = _mm256_setzero_si256();
  const int count = kFours > 0 ? kFours : fours;
  for (int four = 0; four < count; ++four, pixel += 12, halves += 8) {
    const __m256i bytes =
        _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(pixel)));
    const __m256i values = _mm256_shuffle_epi8(bytes, pairs);
    const __m256i weights =
        _mm256_castsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(halves)));
    low = _mm256_add_epi32(
        low, _mm256_madd_epi16(values, _mm256_permutevar8x32_epi32(weights, spread_low)));
    high = _mm256_add_epi32(
        high, _mm256_madd_epi16(values, _mm256_permutevar8x32_epi32(weights, spread_high)));
  }
  const __m256i sums = _mm256_add_epi32(low, _mm256_slli_epi32(high, kLowBits));
  return _mm_add_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1));
}

IJEPA_AVX2 inline __m128i RoundedSums(__m128i sums) {
  return _mm_srai_epi32(_mm_add_epi32(sums, _mm_set1_epi32(kHalf)), kWeightBits);
}

// Four output pixels from `x` on, as r r r r g g g g b b b b.
template <int kFours>
IJEPA_AVX2 inline __m128i FourPixels(const uint8_t* in, const ResizeTaps& taps, int x) {
  const int64_t* first = taps.first_of_fours.data() + x;
  const size_t step = static_cast<size_t>(taps.fours) * 8;
  const int16_t* halves = taps.halves.data() + x * step;
  __m128i sums[4];
  for (int i = 0; i < 4; ++i) {
    sums[i] = RoundedSums(PixelSums<kFours>(in + first[i] * 3, halves + i * step, taps.fours));
  }
  const __m128i planes = _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, -1, -1, -1, -1);
  return _mm_shuffle_epi8(
      _mm_packus_epi16(_mm_packs_epi32(sums[0], sums[1]), _mm_packs_epi32(sums[2], sums[3])),
      planes);
}

template <int kFours>
IJEPA_AVX2 void AcrossLoop(const uint8_t* in, const ResizeTaps& taps, const PlanarRow& out) {
  const int outputs = taps.outputs();
  // The last four may overlap the ones before.
  for (int x = 0; x < outputs; x = x + 4 <= outputs - 4 || x + 4 >= outputs ? x + 4 : outputs - 4) {
    const __m128i bytes = FourPixels<kFours>(in, taps, x);
    const int values[3] = {_mm_cvtsi128_si32(bytes), _mm_extract_epi32(bytes, 1),
                           _mm_extract_epi32(bytes, 2)};
    for (int c = 0; c < 3; ++c) std::memcpy(out.data + c * out.plane + x, &values[c], 4);
  }
}

IJEPA_AVX2 void Avx2Across(const uint8_t* in, const ResizeTaps& taps, const PlanarRow& out) {
  if (out.channels != 3 || taps.outputs() < 4) return PlainAcross(in, taps, out);
  if (taps.fours == 1) return AcrossLoop<1>(in, taps, out);
  if (taps.fours == 2) return AcrossLoop<2>(in, taps, out);
  AcrossLoop<0>(in, taps, out);
}

// The low and the high halves of two weights, in each pair of 16 bits.
struct WeightPair {
  int32_t low;
  int32_t high;
};
inline WeightPair PairOf(int32_t a, int32_t b) {
  return {(a & kLowMask) | ((b & kLowMask) << 16), (a >> kLowBits) | ((b >> kLowBits) << 16)};
}

// 32 bytes of one output row.
IJEPA_AVX2 inline __m256i DownBlock(const RowStack& in, size_t at) {
  const __m256i zero = _mm256_setzero_si256();
  __m256i low[4] = {zero, zero, zero, zero};
  __m256i high[4] = {zero, zero, zero, zero};
  for (int k = 0; k < in.count; k += 2) {
    const bool last = k + 1 == in.count;
    const WeightPair pair = PairOf(in.weights[k], last ? 0 : in.weights[k + 1]);
    const __m256i low_weights = _mm256_set1_epi32(pair.low);
    const __m256i high_weights = _mm256_set1_epi32(pair.high);
    const __m256i a = Load(in.rows[k] + at);
    const __m256i b = last ? zero : Load(in.rows[k + 1] + at);
    const __m256i near = _mm256_unpacklo_epi8(a, b);
    const __m256i far = _mm256_unpackhi_epi8(a, b);
    const __m256i values[4] = {_mm256_unpacklo_epi8(near, zero), _mm256_unpackhi_epi8(near, zero),
                               _mm256_unpacklo_epi8(far, zero), _mm256_unpackhi_epi8(far, zero)};
    for (int i = 0; i < 4; ++i) {
      // unpack puts 00 after each byte, so a pair of 16 bits is (a, b).
      low[i] = _mm256_add_epi32(low[i], _mm256_madd_epi16(values[i], low_weights));
      high[i] = _mm256_add_epi32(high[i], _mm256_madd_epi16(values[i], high_weights));
    }
  }
  const __m256i half = _mm256_set1_epi32(kHalf);
  for (int i = 0; i < 4; ++i) {
    const __m256i sum = _mm256_add_epi32(low[i], _mm256_slli_epi32(high[i], kLowBits));
    low[i] = _mm256_srai_epi32(_mm256_add_epi32(sum, half), kWeightBits);
  }
  return _mm256_packus_epi16(_mm256_packs_epi32(low[0], low[1]),
                             _mm256_packs_epi32(low[2], low[3]));
}

IJEPA_AVX2 void Avx2Down(const RowStack& in, size_t bytes, uint8_t* out) {
  constexpr size_t kBlock = 32;
  for (size_t i = 0; i < bytes; i += kBlock) {
    const __m256i block = DownBlock(in, i);  // Reads into the padding at the end of a row.
    if (i + kBlock <= bytes) {
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + i), block);
    } else {
      alignas(32) uint8_t rest[kBlock];
      _mm256_store_si256(reinterpret_cast<__m256i*>(rest), block);
      std::memcpy(out + i, rest, bytes - i);
    }
  }
}

constexpr ResizeKernels kAvx2{Avx2Across, Avx2Down};
#endif

constexpr ResizeKernels kPlain{PlainAcross, PlainDown};

}  // namespace

void ResizeTaps::MakeFours() {
  int64_t end = 0;
  for (int i = 0; i < outputs(); ++i) end = std::max(end, first[i] + count[i]);
  fours = (*std::max_element(count.begin(), count.end()) + 3) / 4;
  first_of_fours.resize(first.size());
  halves.assign(static_cast<size_t>(outputs()) * fours * 8, 0);
  digits.assign(static_cast<size_t>(outputs()) * fours * kDigitsStride, 0);
  for (int output = 0; output < outputs(); ++output) {
    const int64_t begin = std::max<int64_t>(std::min(first[output], end - 4 * fours), 0);
    first_of_fours[output] = begin;
    int16_t* target = halves.data() + static_cast<size_t>(output) * fours * 8;
    for (int k = 0; k < count[output]; ++k) {
      int32_t weight = weights_of(output)[k];
      const int64_t place = first[output] - begin + k;
      target[place / 4 * 8 + place % 4] = static_cast<int16_t>(weight & kLowMask);
      target[place / 4 * 8 + 4 + place % 4] = static_cast<int16_t>(weight >> kLowBits);
      const int64_t four = place / 4 * outputs() + output;
      int8_t* digit = digits.data() + four * kDigitsStride + place % 4;
      for (int d = 0; d < kWeightDigits; ++d, digit += 4) weight = NextDigit(weight, *digit);
    }
  }
}

void ResizeTaps::Reverse() {
  std::reverse(first.begin(), first.end());
  std::reverse(count.begin(), count.end());
  const auto reverse_blocks = [&](auto begin, ptrdiff_t block) {
    for (auto left = begin, right = begin + (outputs() - 1) * block; left < right;
         left += block, right -= block) {
      std::swap_ranges(left, left + block, right);
    }
  };
  reverse_blocks(weights.begin(), stride);
  reverse_blocks(first_of_fours.begin(), 1);
  reverse_blocks(halves.begin(), ptrdiff_t{8} * fours);
  for (int four = 0; four < fours; ++four) {
    reverse_blocks(digits.begin() + ptrdiff_t{four} * outputs() * kDigitsStride, kDigitsStride);
  }
}

const ResizeKernels& PlainResizeKernels() { return kPlain; }

const ResizeKernels* Avx2ResizeKernels() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2")) return &kAvx2;
#endif
  return nullptr;
}

const ResizeKernels& BestResizeKernels() {
  for (const ResizeKernels* kernels : {Avx512ResizeKernels(), Avx2ResizeKernels()}) {
    if (kernels != nullptr) return *kernels;
  }
  return kPlain;
}

}  // namespace jepa
