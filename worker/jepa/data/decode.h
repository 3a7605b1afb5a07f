// From file bytes to pixels of the size that is asked for, equal to Pillow and torchvision bit for
// bit.
#ifndef IJEPA_WORKER_JEPA_DATA_DECODE_H_
#define IJEPA_WORKER_JEPA_DATA_DECODE_H_

#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "worker/jepa/config.h"
#include "worker/jepa/data/image.h"

namespace jepa {

// A part of an image, in pixels: rows [top, top + height), columns [left, left + width).
struct Crop {
  int top = 0;
  int left = 0;
  int height = 0;
  int width = 0;
};

// Takes rows of interleaved pixels in order.
class RowSink {
 public:
  virtual ~RowSink() = default;
  // The row is valid during the call; kRowPadding (resize_kernels.h) bytes after its last pixel are
  // readable.
  virtual void Row(const uint8_t* pixels) = 0;
};

// Decodes one image after the other, keeping its memory; one per thread. Not copyable.
//
// JPEG (any colour space, baseline or progressive), PNG or WebP by its first bytes, whatever the
// name, to RGB as Pillow's convert("RGB") does. In another format than RGB of 8 bits: PNG that has
// exactly these channels and bits.
class ImageReader {
 public:
  ImageReader();
  ~ImageReader();
  ImageReader(ImageReader&&) noexcept;
  ImageReader& operator=(ImageReader&&) noexcept;

  // Whether images are turned as their EXIF orientation says (exif.h). Without it the orientation
  // is ignored, as torchvision's ImageFolder ignores it. Default false.
  void set_orient(bool orient);

  // Default: RGB of 8 bits.
  void set_format(const PixelFormat& format);

  // Begins with the file `bytes`, which must live until its rows are read, and returns the size of
  // its image. Returns DataLoss for what is not an image (bad_image.h tells the kinds),
  // ResourceExhausted above 178,956,970 pixels (Pillow's limit).
  absl::StatusOr<Size> Open(absl::string_view bytes);

  // Gives the rows of `part` of the image that is open to `sink`, once. The bits are those of the
  // whole image, but the work is not: of a plain JPEG only what the part needs is decoded. Returns
  // DataLoss for what is truncated; the sink may have got rows then.
  absl::Status Read(const Crop& part, RowSink& sink);

  // After Open, before Read: decodes the image smaller by `reduction` (1, 2, 4 or 8) in both
  // directions, by a smaller inverse transform, where it is a JPEG that is not turned. Returns the
  // size it has now, rounded up; of another image the size that it has.
  Size Reduce(int reduction);

  // After Open: the image where it had to be decoded whole, as everything but plain RGB JPEGs has;
  // else null. Valid until the next Open.
  const Image* whole() const;

 private:
  struct Parts;
  static absl::StatusOr<Size> OpenJpeg(Parts& parts, absl::string_view bytes);
  std::unique_ptr<Parts> parts_;
};

// The whole image. Errors as ImageReader's.
absl::StatusOr<Image> Decode(absl::string_view bytes);

// Cuts `crop` out and resizes it to out_height x out_width (view_resizer.h). The crop must lie
// inside the image.
Image CropAndResize(const Image& image, Crop crop, int out_height, int out_width);

// The deterministic view for probes (CentreGeometry).
Image ResizeAndCentreCrop(const Image& image, Size size);

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_DATA_DECODE_H_
