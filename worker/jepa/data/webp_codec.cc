// WebP through libwebp, where the build has it.
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/jepa/data/bad_image.h"
#include "worker/jepa/data/codec.h"

#ifdef IJEPA_HAS_WEBP
#include <webp/decode.h>
#endif

namespace jepa {

bool LooksLikeWebp(absl::string_view bytes) {
  return bytes.substr(0, 4) == "RIFF" && bytes.size() >= 12 && bytes.substr(8, 4) == "WEBP";
}

#ifdef IJEPA_HAS_WEBP
namespace {

absl::Status Failure(VP8StatusCode code) {
  const std::string message = absl::StrCat("the WebP cannot be decoded: libwebp's status ", code);
  return code == VP8_STATUS_NOT_ENOUGH_DATA ? TruncatedError(message)
                                            : absl::DataLossError(message);
}

}  // namespace

absl::StatusOr<Image> DecodeWebp(absl::string_view bytes) {
  const auto* data = reinterpret_cast<const uint8_t*>(bytes.data());
  WebPDecoderConfig config;
  if (WebPInitDecoderConfig(&config) == 0) return absl::InternalError("libwebp of another version");
  const VP8StatusCode header = WebPGetFeatures(data, bytes.size(), &config.input);
  if (header != VP8_STATUS_OK) return Failure(header);
  if (config.input.has_animation != 0) {
    return absl::DataLossError("the WebP is an animation; only still images are read");
  }
  IJEPA_RETURN_IF_ERROR(CheckImageSize(config.input.height, config.input.width));
  Image image{config.input.height, config.input.width, {}};
  image.pixels.resize(static_cast<size_t>(image.height) * image.width * 3);
  config.output.colorspace = MODE_RGB;
  config.output.is_external_memory = 1;
  config.output.u.RGBA = {image.pixels.data(), image.width * 3, image.pixels.size()};
  const VP8StatusCode decoded = WebPDecode(data, bytes.size(), &config);
  return decoded == VP8_STATUS_OK ? absl::StatusOr<Image>(std::move(image)) : Failure(decoded);
}
#else
absl::StatusOr<Image> DecodeWebp(absl::string_view) {
  return absl::DataLossError(
      "WebP, which this build does not read; install libwebp-dev and build again");
}
#endif

}  // namespace jepa
