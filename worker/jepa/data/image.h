// Pixels in memory.
#ifndef IJEPA_WORKER_JEPA_DATA_IMAGE_H_
#define IJEPA_WORKER_JEPA_DATA_IMAGE_H_

#include <cstdint>
#include <vector>

namespace jepa {

// 8-bit RGB, interleaved, rows without padding: pixels.size() == height * width * 3.
struct Image {
  int height = 0;
  int width = 0;
  std::vector<uint8_t> pixels;
};

// Mean and standard deviation of ImageNet per channel (R, G, B) of values in [0, 1], as published.
inline constexpr float kImageMean[3] = {0.485f, 0.456f, 0.406f};
inline constexpr float kImageStd[3] = {0.229f, 0.224f, 0.225f};

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_DATA_IMAGE_H_
