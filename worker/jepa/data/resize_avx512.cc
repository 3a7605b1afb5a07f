// The kernels for machines with AVX-512 and its product of bytes (VNNI): four pixels or rows at a
// time, with a weight as three digits of a signed byte each. Sums wrap in 32 bits, as the final
// value does not: the result is exact.
#include "worker/jepa/data/resize_kernels.h"

#if defined(__x86_64__)
#include <immintrin.h>

#include <algorithm>
#endif

namespace jepa {

#if defined(__x86_64__)
namespace {

#define IJEPA_AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512vnni")))

constexpr int32_t kHalf = 1 << (kWeightBits - 1);

// The sums of one register of bytes' fours, by digit.
struct Sums {
  __m512i digits[kWeightDigits];
};

IJEPA_AVX512 inline Sums NoSums() {
  return {{_mm512_set1_epi32(kHalf), _mm512_setzero_si512(), _mm512_setzero_si512()}};
}

IJEPA_AVX512 inline void Add(__m512i bytes, const __m512i* weights, Sums& sums) {
  for (int d = 0; d < kWeightDigits; ++d) {
    sums.digits[d] = _mm512_dpbusd_epi32(sums.digits[d], bytes, weights[d]);
  }
}

IJEPA_AVX512 inline __m512i Rounded(const Sums& sums) {
  const __m512i high =
      _mm512_add_epi32(_mm512_slli_epi32(sums.digits[2], 16), _mm512_slli_epi32(sums.digits[1], 8));
  return _mm512_srai_epi32(_mm512_add_epi32(sums.digits[0], high), kWeightBits);
}

IJEPA_AVX512 inline __m128i Load16(const uint8_t* data) {
  return _mm_loadu_si128(reinterpret_cast<const __m128i*>(data));
}

// Four output pixels from `x` on, as r r r r g g g g b b b b and four zeros.
template <int kFours>
IJEPA_AVX512 inline __m128i FourPixels(const uint8_t* in, const ResizeTaps& taps, int x) {
  // Of each output pixel, four RGB pixels to r r r r g g g g b b b b.
  const __m512i by_colour =
      _mm512_broadcast_i32x4(_mm_setr_epi8(0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11, -1, -1, -1, -1));
  const int64_t* first = taps.first_of_fours.data() + x;
  const int8_t* digits = taps.digits.data() + static_cast<size_t>(x) * kDigitsStride;
  const size_t step = static_cast<size_t>(taps.outputs()) * kDigitsStride;
  Sums sums = NoSums();
  const int count = kFours > 0 ? kFours : taps.fours;
  for (int four = 0; four < count; ++four, in += 12, digits += step) {
    __m512i pixels = _mm512_castsi128_si512(Load16(in + first[0] * 3));
    pixels = _mm512_inserti32x4(pixels, Load16(in + first[1] * 3), 1);
    pixels = _mm512_inserti32x4(pixels, Load16(in + first[2] * 3), 2);
    pixels = _mm512_inserti32x4(pixels, Load16(in + first[3] * 3), 3);
    const __m512i all = _mm512_loadu_si512(digits);
    const __m512i weights[] = {_mm512_shuffle_epi32(all, _MM_PERM_AAAA),
                               _mm512_shuffle_epi32(all, _MM_PERM_BBBB),
                               _mm512_shuffle_epi32(all, _MM_PERM_CCCC)};
    Add(_mm512_shuffle_epi8(pixels, by_colour), weights, sums);
  }
  const __m128i planes = _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  return _mm_shuffle_epi8(_mm512_cvtusepi32_epi8(Rounded(sums)), planes);
}

constexpr int kPixels = 16;  // At a time.

template <int kFours>
IJEPA_AVX512 void AcrossLoop(const uint8_t* in, const ResizeTaps& taps, const PlanarRow& out) {
  const int outputs = taps.outputs();
  for (int begin = 0; begin < outputs; begin += kPixels) {
    const int x = std::min(begin, outputs - kPixels);  // The last may overlap the ones before.
    const __m128i a = FourPixels<kFours>(in, taps, x);
    const __m128i b = FourPixels<kFours>(in, taps, x + 4);
    const __m128i c = FourPixels<kFours>(in, taps, x + 8);
    const __m128i d = FourPixels<kFours>(in, taps, x + 12);
    const __m128i near_ab = _mm_unpacklo_epi32(a, b);
    const __m128i near_cd = _mm_unpacklo_epi32(c, d);
    const __m128i far = _mm_unpacklo_epi64(_mm_unpackhi_epi32(a, b), _mm_unpackhi_epi32(c, d));
    const __m128i rows[] = {_mm_unpacklo_epi64(near_ab, near_cd),
                            _mm_unpackhi_epi64(near_ab, near_cd), far};
    for (int colour = 0; colour < 3; ++colour) {
      _mm_storeu_si128(reinterpret_cast<__m128i*>(out.data + colour * out.plane + x), rows[colour]);
    }
  }
}

void Across(const uint8_t* in, const ResizeTaps& taps, const PlanarRow& out) {
  if (out.channels != 3 || taps.outputs() < kPixels) {
    return Avx2ResizeKernels()->across(in, taps, out);
  }
  if (taps.fours == 1) return AcrossLoop<1>(in, taps, out);
  if (taps.fours == 2) return AcrossLoop<2>(in, taps, out);
  AcrossLoop<0>(in, taps, out);
}

// 64 bytes of each of four rows, as fours of one column; packing sums of them twice puts the
// columns in order.
struct Fours {
  __m512i quarters[4];
};

IJEPA_AVX512 inline Fours Interleaved(const uint8_t* const* rows, size_t at, __mmask64 mask) {
  const __m512i a = _mm512_maskz_loadu_epi8(mask, rows[0] + at);
  const __m512i b = _mm512_maskz_loadu_epi8(mask, rows[1] + at);
  const __m512i c = _mm512_maskz_loadu_epi8(mask, rows[2] + at);
  const __m512i d = _mm512_maskz_loadu_epi8(mask, rows[3] + at);
  const __m512i near_ab = _mm512_unpacklo_epi8(a, b), far_ab = _mm512_unpackhi_epi8(a, b);
  const __m512i near_cd = _mm512_unpacklo_epi8(c, d), far_cd = _mm512_unpackhi_epi8(c, d);
  return {{_mm512_unpacklo_epi16(near_ab, near_cd), _mm512_unpackhi_epi16(near_ab, near_cd),
           _mm512_unpacklo_epi16(far_ab, far_cd), _mm512_unpackhi_epi16(far_ab, far_cd)}};
}

// Four rows and their weights' digits, each in every 32 bits.
struct FourRows {
  const uint8_t* rows[4];
  __m512i weights[kWeightDigits];
};

IJEPA_AVX512 inline FourRows FourRowsOf(const RowStack& in, int begin) {
  FourRows four;
  alignas(4) int8_t digits[kWeightDigits][4];
  for (int i = 0; i < 4; ++i) {
    // Rows beyond the last: any, without weight.
    const int k = std::min(begin + i, in.count - 1);
    four.rows[i] = in.rows[k];
    int32_t weight = begin + i < in.count ? in.weights[k] : 0;
    for (auto& digit : digits) weight = NextDigit(weight, digit[i]);
  }
  for (int d = 0; d < kWeightDigits; ++d) {
    int32_t word;
    __builtin_memcpy(&word, digits[d], sizeof(word));
    four.weights[d] = _mm512_set1_epi32(word);
  }
  return four;
}

template <int kCount>
IJEPA_AVX512 inline void DownLoop(const FourRows* fours, size_t bytes, uint8_t* out) {
  constexpr size_t kBlock = 64;
  for (size_t at = 0; at < bytes; at += kBlock) {
    const __mmask64 mask =
        bytes - at >= kBlock ? ~__mmask64{0} : (__mmask64{1} << (bytes - at)) - 1;
    Sums sums[4] = {NoSums(), NoSums(), NoSums(), NoSums()};
    for (int four = 0; four < kCount; ++four) {
      const Fours bytes_of = Interleaved(fours[four].rows, at, mask);
      for (int i = 0; i < 4; ++i) Add(bytes_of.quarters[i], fours[four].weights, sums[i]);
    }
    const __m512i near = _mm512_packs_epi32(Rounded(sums[0]), Rounded(sums[1]));
    const __m512i far = _mm512_packs_epi32(Rounded(sums[2]), Rounded(sums[3]));
    _mm512_mask_storeu_epi8(out + at, mask, _mm512_packus_epi16(near, far));
  }
}

IJEPA_AVX512 void Down(const RowStack& in, size_t bytes, uint8_t* out) {
  if (in.count > 8) return Avx2ResizeKernels()->down(in, bytes, out);
  const FourRows fours[] = {FourRowsOf(in, 0), FourRowsOf(in, 4)};
  if (in.count <= 4) return DownLoop<1>(fours, bytes, out);
  DownLoop<2>(fours, bytes, out);
}

constexpr ResizeKernels kAvx512{Across, Down};

}  // namespace

const ResizeKernels* Avx512ResizeKernels() {
  const bool there = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                     __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni") &&
                     Avx2ResizeKernels() != nullptr;
  return there ? &kAvx512 : nullptr;
}
#else
const ResizeKernels* Avx512ResizeKernels() { return nullptr; }
#endif

}  // namespace jepa
