// From file bytes to pixels of the size that is asked for, equal to Pillow and torchvision bit for
// bit.
#ifndef IJEPA_WORKER_JEPA_DATA_DECODE_H_
#define IJEPA_WORKER_JEPA_DATA_DECODE_H_

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "worker/jepa/data/image.h"

namespace jepa {

// Decodes JPEG (any colour space, baseline or progressive) or PNG by its first bytes, whatever the
// name, to RGB as Pillow's convert("RGB") does; EXIF orientation is ignored, as torchvision's
// ImageFolder ignores it. Returns DataLoss for what is truncated or not an image, ResourceExhausted
// above 178,956,970 pixels (Pillow's limit).
absl::StatusOr<Image> Decode(absl::string_view bytes);

// A part of an image, in pixels: rows [top, top + height), columns [left, left + width).
struct Crop {
  int top = 0;
  int left = 0;
  int height = 0;
  int width = 0;
};

// Cuts `crop` out and resizes it to out_height x out_width by Pillow's antialiased bilinear filter
// in fixed point, bit for bit as Pillow 13 (older ones run the two passes always in one order, and
// may differ by one grey level). The crop must lie inside the image.
Image CropAndResize(const Image& image, Crop crop, int out_height, int out_width);

// The deterministic view for probes: shorter side resized to `size`, then the centre square.
Image ResizeAndCentreCrop(const Image& image, int size);

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_DATA_DECODE_H_
