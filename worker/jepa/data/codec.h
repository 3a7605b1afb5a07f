// The file formats behind ImageReader, and the JPEG writer of the scene generator.
#ifndef IJEPA_WORKER_JEPA_DATA_CODEC_H_
#define IJEPA_WORKER_JEPA_DATA_CODEC_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "worker/jepa/data/decode.h"
#include "worker/jepa/data/image.h"

namespace jepa {

// Pillow's limit: twice its MAX_IMAGE_PIXELS, where its warning becomes an error.
inline constexpr int64_t kMaxPixels = 178'956'970;

// ResourceExhausted if height x width is above kMaxPixels. Called before anything is allocated.
absl::Status CheckImageSize(int64_t height, int64_t width);

bool LooksLikeJpeg(absl::string_view bytes);
bool LooksLikePng(absl::string_view bytes);

// JPEG through libjpeg with the accurate integer DCT and smooth chroma upsampling; four-colour
// files are taken as inverted, as Adobe writes them and Pillow reads them. Keeps libjpeg's state
// from file to file.
class JpegReader {
 public:
  JpegReader();
  ~JpegReader();
  JpegReader(const JpegReader&) = delete;
  JpegReader& operator=(const JpegReader&) = delete;

  // As ImageReader's.
  absl::StatusOr<Size> Open(absl::string_view bytes);
  absl::Status Read(const Crop& part, RowSink& sink);
  Size Reduce(int reduction);

 private:
  struct State;
  absl::Status ReadOnce(const Crop& part, bool alone, RowSink& sink);
  const std::unique_ptr<State> state_;
};

// As RGB, or exactly as `format` says: grey, grey and alpha, RGB, RGB and alpha. Errors as Decode
// (decode.h); DataLoss for other channels or another depth than those of the format.
absl::StatusOr<Image> DecodePng(absl::string_view bytes, const PixelFormat& format);

bool LooksLikeWebp(absl::string_view bytes);
// A still WebP as RGB, alpha dropped as Pillow does. Errors as Decode; DataLoss for an animation,
// and for any WebP where the build has no libwebp.
absl::StatusOr<Image> DecodeWebp(absl::string_view bytes);

// Baseline JPEG, chroma halved both ways. quality in [1, 100].
absl::StatusOr<std::string> EncodeJpeg(const Image& image, int quality);

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_DATA_CODEC_H_
