// Choice of the format by the first bytes.
#include "worker/jepa/data/decode.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "worker/jepa/data/codec.h"

namespace jepa {

absl::Status CheckImageSize(int64_t height, int64_t width) {
  if (height < 1 || width <= kMaxPixels / height) return absl::OkStatus();
  return absl::ResourceExhaustedError(absl::StrCat("image is ", width, " x ", height,
                                                   " pixels; at most ", kMaxPixels,
                                                   " are read; scale it down"));
}

absl::StatusOr<Image> Decode(absl::string_view bytes) {
  if (LooksLikeJpeg(bytes)) return DecodeJpeg(bytes);
  if (LooksLikePng(bytes)) return DecodePng(bytes);
  if (bytes.empty()) return absl::DataLossError("the file is empty");
  return absl::DataLossError("neither a JPEG nor a PNG by its first bytes");
}

}  // namespace jepa
