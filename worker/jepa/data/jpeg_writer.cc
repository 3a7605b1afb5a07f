// JPEG files in memory, through libjpeg.
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "worker/jepa/data/codec.h"
#include "worker/jepa/data/jpeg_error.h"

namespace jepa {
namespace {

class JpegWriter {
 public:
  JpegWriter() {
    InstallHandlers(error_);
    info_.err = &error_.base;
  }
  ~JpegWriter() {
    if (created_) jpeg_destroy_compress(&info_);
    free(buffer_);
  }
  JpegWriter(const JpegWriter&) = delete;
  JpegWriter& operator=(const JpegWriter&) = delete;

  absl::StatusOr<std::string> Write(const Image& image, int quality) {
    if (!Compress(image, quality)) {
      return absl::InternalError(absl::StrCat("JPEG encoder: ", error_.text));
    }
    return std::string(reinterpret_cast<const char*>(buffer_), size_);
  }

 private:
  bool Compress(const Image& image, int quality) {
    if (setjmp(error_.jump) != 0) return false;
    jpeg_create_compress(&info_);
    created_ = true;
    jpeg_mem_dest(&info_, &buffer_, &size_);
    info_.image_width = static_cast<JDIMENSION>(image.width);
    info_.image_height = static_cast<JDIMENSION>(image.height);
    info_.input_components = 3;
    info_.in_color_space = JCS_RGB;
    jpeg_set_defaults(&info_);
    jpeg_set_quality(&info_, quality, TRUE);
    jpeg_start_compress(&info_, TRUE);
    const size_t row_bytes = static_cast<size_t>(image.width) * 3;
    while (info_.next_scanline < info_.image_height) {
      auto* row = const_cast<uint8_t*>(image.pixels.data()) + row_bytes * info_.next_scanline;
      jpeg_write_scanlines(&info_, &row, 1);
    }
    jpeg_finish_compress(&info_);
    return true;
  }

  JpegError error_{};
  jpeg_compress_struct info_{};
  unsigned char* buffer_ = nullptr;
  unsigned long size_ = 0;  // NOLINT: the type of libjpeg's interface.
  bool created_ = false;
};

}  // namespace

absl::StatusOr<std::string> EncodeJpeg(const Image& image, int quality) {
  return JpegWriter().Write(image, quality);
}

}  // namespace jepa
