// The two passes of the fixed-point resize, over rows of interleaved RGB bytes.
#ifndef IJEPA_WORKER_JEPA_DATA_RESIZE_KERNELS_H_
#define IJEPA_WORKER_JEPA_DATA_RESIZE_KERNELS_H_

#include <cstddef>
#include <cstdint>
#include <vector>

namespace jepa {

inline constexpr int kWeightBits = 32 - 8 - 2;  // Of the fixed-point weights, as in Pillow.

// Which input pixels make each output pixel of one axis, and how much.
struct ResizeTaps {
  int stride = 0;                // Weights kept per output pixel.
  std::vector<int64_t> first;    // First input pixel of each output pixel.
  std::vector<int> count;        // Input pixels of each output pixel.
  std::vector<int32_t> weights;  // [outputs * stride], of 2^kWeightBits.

  int outputs() const { return static_cast<int>(first.size()); }
  const int32_t* weights_of(int output) const {
    return weights.data() + static_cast<size_t>(output) * stride;
  }
};

// One row: out[x] = rounded sum of in[first[x] + k] * weight[k]. Reads one byte past the last input
// pixel and writes one past the last output pixel; both must be allocated.
void ResizeRow(const uint8_t* in, const ResizeTaps& taps, uint8_t* out);

// One output row of `bytes` bytes from `count` input rows that are `stride` bytes apart.
// `sums` is scratch of `bytes` entries.
struct RowBlock {
  const uint8_t* rows;
  size_t stride;
  int count;
};
void ResizeColumns(const RowBlock& in, const int32_t* weights, size_t bytes, int32_t* sums,
                   uint8_t* out);

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_DATA_RESIZE_KERNELS_H_
