// The two passes of the fixed-point resize over rows of bytes: across a row, and down the rows.
#ifndef IJEPA_WORKER_JEPA_DATA_RESIZE_KERNELS_H_
#define IJEPA_WORKER_JEPA_DATA_RESIZE_KERNELS_H_

#include <cstddef>
#include <cstdint>
#include <vector>

namespace jepa {

inline constexpr int kWeightBits = 32 - 8 - 2;  // Of the fixed-point weights, as in Pillow.

// Bytes that must be readable after the last pixel of a row given to a kernel.
inline constexpr size_t kRowPadding = 32;

// Which input pixels make each output pixel of one axis, and how much. Weights beyond count are 0.
struct ResizeTaps {
  int stride = 0;                // Weights kept per output pixel.
  std::vector<int64_t> first;    // First input pixel of each output pixel.
  std::vector<int> count;        // Input pixels of each output pixel.
  std::vector<int32_t> weights;  // [outputs * stride], of 2^kWeightBits.
  // For kernels that take pixels in fours, as many for every output: where they begin, and the
  // weights, each four as 4 low and 4 high halves (kLowBits). They end at most 3 pixels beyond the
  // last input pixel of all.
  int fours = 0;
  std::vector<int64_t> first_of_fours;
  std::vector<int16_t> halves;
  // The same in digits: [fours][outputs][kDigitsStride], of which kWeightDigits times 4 are used.
  std::vector<int8_t> digits;

  int outputs() const { return static_cast<int>(first.size()); }
  const int32_t* weights_of(int output) const {
    return weights.data() + static_cast<size_t>(output) * stride;
  }
  // Makes the fours. Nothing may come before input pixel 0.
  void MakeFours();
  // Swaps the outputs end for end, which mirrors a row. The fours must be made.
  void Reverse();
};

// A weight is high * 2^kLowBits + low, both of which a signed 16-bit factor holds.
inline constexpr int kLowBits = 15;

// A weight is also digits[0] + 256 * digits[1] + 65536 * digits[2].
inline constexpr int kWeightDigits = 3;
inline constexpr int kDigitsStride = 16;
// Takes the lowest digit off and returns the rest.
inline int32_t NextDigit(int32_t weight, int8_t& digit) {
  digit = static_cast<int8_t>(weight);
  return (weight - digit) >> 8;
}

// An output row of channels planes, `plane` bytes apart.
struct PlanarRow {
  uint8_t* data;
  size_t plane;
  int channels;
};

// Input rows of an output row, in order, and their weights.
struct RowStack {
  const uint8_t* const* rows;
  const int32_t* weights;
  int count;
};

// The kernels give the same bits whatever they are made for: the arithmetic is on integers.
struct ResizeKernels {
  // One row of interleaved pixels to planes: out[c][x] = rounded sum of in[first[x] + k][c] *
  // weight[k]. The fours must be made.
  void (*across)(const uint8_t* in, const ResizeTaps& taps, const PlanarRow& out);
  // Bytes [0, bytes) of one output row.
  void (*down)(const RowStack& in, size_t bytes, uint8_t* out);
};

const ResizeKernels& PlainResizeKernels();
// Null where this machine has no such instructions.
const ResizeKernels* Avx2ResizeKernels();
const ResizeKernels* Avx512ResizeKernels();
// The fastest of this machine.
const ResizeKernels& BestResizeKernels();

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_DATA_RESIZE_KERNELS_H_
