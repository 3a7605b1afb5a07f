// Pixels in memory.
#ifndef IJEPA_WORKER_JEPA_DATA_IMAGE_H_
#define IJEPA_WORKER_JEPA_DATA_IMAGE_H_

#include <cstdint>
#include <vector>

namespace jepa {

// Interleaved, rows without padding: pixels.size() == height * width * pixel_bytes. 8-bit RGB
// unless said otherwise; values of 16 bits are in the machine's byte order.
struct Image {
  int height = 0;
  int width = 0;
  std::vector<uint8_t> pixels;
  int pixel_bytes = 3;  // Channels times bytes of a value.
};

// What images are read as.
struct PixelFormat {
  int channels = 3;   // In [1, 4].
  int bit_depth = 8;  // Or 16.

  bool IsRgb() const { return channels == 3 && bit_depth == 8; }
  int pixel_bytes() const { return channels * (bit_depth / 8); }
};

// Mean and standard deviation of ImageNet per channel (R, G, B) of values in [0, 1], as published.
inline constexpr float kImageMean[3] = {0.485f, 0.456f, 0.406f};
inline constexpr float kImageStd[3] = {0.229f, 0.224f, 0.225f};

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_DATA_IMAGE_H_
